import { describe, expect, test } from 'vitest'
import { linksAfterRepair, planRepair } from '../../src/release/recovery.ts'
import { chooseRelease } from '../../src/release/rollback.ts'
import { type ReleaseInfo, releaseOf } from '../../src/release/site-state.ts'

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
const atGate = { ...pending, current: 'releases/old' }
const first = { ...pending, pending: { release: 'new', returnTo: '' } }
const untouched = { current: 'releases/old', pending: undefined, releases: pending.releases }
const confirmed = { current: 'releases/new', pending: undefined, releases: [release('new'), release('old')] }
const forced = { ...confirmed, releases: [release('new', 'new'), release('old')] }

test.each([
  ['died while activating', [pending, untouched], ['go back', 'none'], ['old', 'old']],
  ['died with all active, none confirmed', [pending, pending], ['go back', 'go back'], ['old', 'old']],
  ['died while confirming', [confirmed, pending], ['none', 'confirm'], ['new', 'new']],
  ['one was linked to it by hand', [forced, pending], ['none', 'go back'], ['new', 'old']],
  ['died before the swap', [atGate, untouched], ['go back', 'none'], ['old', 'old']],
  ['died with the first release', [first], ['go back'], [undefined]],
  ['nothing is wrong', [untouched, confirmed], ['none', 'none'], ['old', 'new']],
])('a run that %s', (_, states, repairs, served) => {
  expect(planRepair(states)).toEqual(repairs)
  expect(linksAfterRepair(states).map(releaseOf)).toEqual(served)
})

const host = (name: string, current: string | undefined, ...releases: ReleaseInfo[]) => ({
  name,
  current,
  found: current,
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

describe('previous, where a dead run is repaired', () => {
  const list = [release('c', 'new', 'b'), release('b', 'good', 'a'), release('a')]
  const standing = (name: string, found: string, current: string | undefined) => ({
    ...host(name, current, ...list),
    found,
  })

  test.each([
    ['an upload is taken back: that is it', [standing('web1', 'c', 'b')], 'b'],
    ['on one host', [standing('web1', 'c', 'b'), standing('web2', 'b', 'b')], 'b'],
    ['it had not been activated', [standing('web1', 'b', 'b')], 'a'],
    ['it is confirmed', [standing('web1', 'c', 'c'), standing('web2', 'c', 'c')], 'b'],
    ['a rollback is taken back: it is made after all', [standing('web1', 'b', 'c')], 'b'],
  ])('%s', (_, hosts, previous) => {
    expect(chooseRelease('previous', hosts)).toBe(previous)
  })

  test('hosts that then differ, or serve nothing, are refused; a release that is named is taken', () => {
    const apart = [standing('web1', 'c', 'b'), standing('web2', 'a', 'a')]
    expect(() => chooseRelease('previous', apart)).toThrow(/'previous' is not clear/)
    expect(chooseRelease('a', apart)).toBe('a')
    expect(() => chooseRelease('previous', [standing('web1', 'a', undefined)])).toThrow(
      /no release is served/,
    )
  })
})
