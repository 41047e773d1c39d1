import { expect, test } from 'vitest'
import { planRepair } from '../../src/release/recovery.ts'
import { chooseRelease } from '../../src/release/rollback.ts'
import type { ReleaseInfo } from '../../src/release/site-state.ts'

const release = (id: string, state: ReleaseInfo['state'] = 'good', before?: string): ReleaseInfo => ({
  id,
  state,
  before,
  content: 'c',
})
const pending = {
  current: 'releases/new',
  pending: { release: 'new', returnTo: 'releases/old' },
  releases: [release('new', 'new'), release('old')],
}
const untouched = { current: 'releases/old', pending: undefined, releases: pending.releases }
const confirmed = { current: 'releases/new', pending: undefined, releases: [release('new'), release('old')] }
const forced = { ...confirmed, releases: [release('new', 'new'), release('old')] }

test.each([
  ['died while activating', [pending, untouched], ['go back', 'none']],
  ['died with all active, none confirmed', [pending, pending], ['go back', 'go back']],
  ['died while confirming', [confirmed, pending], ['none', 'confirm']],
  ['one was linked to it by hand', [forced, pending], ['none', 'go back']],
  ['nothing is wrong', [untouched, confirmed], ['none', 'none']],
])('a run that %s', (_, states, repairs) => {
  expect(planRepair(states)).toEqual(repairs)
})

const host = (name: string, current: string | undefined, ...releases: ReleaseInfo[]) => ({
  name,
  current,
  releases,
})

test('previous is what the served release replaced, on all hosts the same', () => {
  const hosts = [
    host('web1', 'c', release('c', 'good', 'a'), release('b', 'failed'), release('a')),
    host('web2', 'c', release('c', 'good', 'a'), release('a')),
  ]
  expect(chooseRelease('previous', hosts)).toBe('a')
  const other = host('web3', 'c', release('c', 'good', 'b'), release('b'), release('a'))
  expect(() => chooseRelease('previous', [...hosts, other])).toThrow(/'previous' is not clear/)
  expect(chooseRelease('a', [...hosts, other])).toBe('a')
  expect(() => chooseRelease('b', hosts)).toThrow(/no release 'b'/)
})
