// Somebody else changes a record at a bad moment of a flip: it is noticed, and never overwritten by a revert.
import { expect, test } from 'vitest'
import { expectFailure } from '../harness/input-cases.ts'
import { type Match, readsAfter, writes } from './dns-api-gate.ts'
import { gatedDnsScene } from './dns-gated-scene.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

const WWW = `www.${ZONE}`
const API = `api.${ZONE}`
const FOREIGN = '127.0.0.9'

const gated = gatedDnsScene()
const { values } = gated
const change = (name: string, value = FOREIGN, ttl = 5) =>
  gated.scene.dns.replace(ZONE, { name, type: 'A', ttl, values: [value] })

/** A flip that waits at a request while somebody else does something. */
async function flipWhile(
  match: Match,
  when: 'before' | 'answered',
  meanwhile: () => Promise<void>,
  inputs = {},
) {
  const held = gated.api.hold(match, when)
  return await gated.scene.flip(
    { 'api-url': gated.api.url, ...inputs },
    {
      during: async () => {
        await held.reached
        await meanwhile()
        held.release()
      },
    },
  )
}

/** The comparison before the first write: the plan has read api last. */
const comparison = readsAfter(WWW, ({ path }) => path.includes(`rrset_name=${API}.`))

test('between plan and write: nothing is written', async () => {
  const result = await flipWhile(comparison, 'before', () => change('www'))
  expectFailure(result, /www\.example\.test A was changed by somebody else/, /it is 127\.0\.0\.9/)
  expect(await values()).toEqual([FOREIGN, OLD])
  expect(gated.api.calls.filter(({ method }) => method === 'PATCH')).toEqual([])
})

test('between plan and write, the TTL alone: nothing is written', async () => {
  const result = await flipWhile(comparison, 'before', () => change('www', OLD, 60))
  expectFailure(result, /www\.example\.test A was changed by somebody else/, /TTL 60/)
  expect(await gated.scene.dns.recordSet(ZONE, 'www', 'A')).toEqual({ ttl: 60, values: [OLD] })
})

test('of a later name: those that are written go back, it is left alone', async () => {
  const result = await flipWhile(readsAfter(API, writes(WWW, NEW)), 'before', () => change('api'))
  expectFailure(result, /api\.example\.test A was changed by somebody else/)
  expectFailure(result, /www\.example\.test A is back at the old value/)
  expect(await values()).toEqual([OLD, FOREIGN])
})

test('between a write and its read-back: it is left alone', async () => {
  const result = await flipWhile(writes(WWW, NEW), 'answered', () => change('www'))
  expectFailure(result, /www\.example\.test A was changed by somebody else and left alone/)
  expect(await values()).toEqual([FOREIGN, OLD])
})

test('between a write and its revert: it is left alone, the others go back', async () => {
  // Names go back the last first.
  const revertsApi = writes(API, OLD)
  const result = await flipWhile(revertsApi, 'answered', () => change('www'), {
    canary: '2',
    verify: 'false',
  })
  expectFailure(result, /www\.example\.test A was changed by somebody else and left alone/)
  expectFailure(result, /api\.example\.test A is back at the old value/)
  expect(await values()).toEqual([FOREIGN, OLD])
})
