import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../bed/process.ts'
import type { ActionRun } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { nthWrite, startApiGate } from './dns-api-gate.ts'
import { type DnsScene, NEW, OLD, startDnsScene, ZONE } from './dns-scene.ts'

let scene: DnsScene
beforeAll(async () => {
  scene = await startDnsScene()
})
beforeEach(() => scene.reset())
afterAll(() => scene?.stop())

const serial = () => scene.dns.serial(ZONE)
const set = (name: string) => scene.dns.recordSet(ZONE, name, 'A')
const sets = async () => [await set('www'), await set('api')]
const both = (ttl: number, value = OLD) => Array(2).fill({ ttl, values: [value] })

async function giveTtl(ttl: number, names = ['www', 'api']): Promise<void> {
  for (const name of names) await scene.dns.replace(ZONE, { name, type: 'A', ttl, values: [OLD] })
}

const prepare = (ttl: string, inputs = {}, options = {}) =>
  scene.flip({ phase: 'prepare', ttl, ...inputs }, options)

/** Prepares from 2 s to 1 s, and waits until a flip is safe. */
async function prepared(): Promise<string> {
  await giveTtl(2)
  const result = await prepare('1')
  expectSuccess(result)
  const safeFrom = Date.parse(result.outputs['safe-from'] ?? '')
  await until('the time from which a flip is safe', () => Date.now() >= safeFrom)
  return result.outputs['snapshot'] ?? ''
}

/** What is there after such a run, and its snapshot, without the wait. */
async function asPrepared(): Promise<string> {
  await giveTtl(1)
  const record = (name: string) => ({
    name: `${name}.${ZONE}`,
    type: 'A',
    ttl: 2,
    values: [OLD],
    written: [NEW],
  })
  const prepared = { ttl: 1, safeFrom: '2026-01-01T00:00:00.000Z' }
  return JSON.stringify({ version: 1, zone: ZONE, records: ['www', 'api'].map(record), prepared })
}

/** Runs with the API before which the n-th write waits, until it is there and `meanwhile` has happened. */
async function atWrite(held: number, inputs: Record<string, string>, meanwhile: (run: ActionRun) => unknown) {
  const api = await startApiGate(scene.dns.apiUrl)
  const write = api.hold(nthWrite(held), 'before')
  try {
    return await scene.flip(
      { 'api-url': api.url, ...inputs },
      {
        during: async (run) => {
          await write.reached
          await meanwhile(run)
        },
      },
    )
  } finally {
    api.stop()
  }
}

describe('phase: prepare', () => {
  test('brings the TTLs down, nothing else, and says from when a flip is safe', async () => {
    await giveTtl(3_600)
    await giveTtl(60, ['api'])
    const start = Date.now()
    const result = await prepare('30s', { 'verify-url': 'http://{name}:1/', verify: 'false' })
    expectSuccess(result)
    expect(await sets()).toEqual(both(30))
    expect(Date.parse(result.outputs['safe-from'] ?? '')).toBeGreaterThanOrEqual(start + 3_600_000)
    expect(JSON.parse(result.outputs['snapshot'] ?? '')).toEqual({
      version: 1,
      zone: ZONE,
      records: [
        { name: `www.${ZONE}`, type: 'A', ttl: 3_600, values: [OLD], written: [NEW] },
        { name: `api.${ZONE}`, type: 'A', ttl: 60, values: [OLD], written: [NEW] },
      ],
      prepared: { ttl: 30, safeFrom: result.outputs['safe-from'] },
    })
    expect(result.outputs['changed']).toBe('2')
    expect(result.summary).toMatch(/3600 -> 30.*written/)
  })

  test('a dry run shows the TTLs and leaves the zone as it is', async () => {
    const before = await serial()
    const result = await prepare('1', { 'dry-run': 'true' })
    expectSuccess(result)
    expect(result.log).toMatch(
      /www\.example\.test +A +127\.0\.0\.1 +127\.0\.0\.2 +5 -> 1 +no +TTL to be written/,
    )
    expect(await serial()).toBe(before)
  })

  test('refuses what a flip would refuse', async () => {
    const before = await serial()
    expectFailure(await prepare('1', { records: `www A 127.0.0.7 -> ${NEW}` }), /neither the old/)
    expect(await serial()).toBe(before)
  })

  test('a second run has nothing to do, and never says an earlier time than the first', async () => {
    await giveTtl(3_600)
    const first = await prepare('30')
    const safeFrom = first.outputs['safe-from'] ?? ''
    const before = await serial()
    const blind = await prepare('30')
    expectSuccess(blind)
    expect(blind.outputs['changed']).toBe('0')
    expect(Date.parse(blind.outputs['safe-from'] ?? '')).toBeGreaterThan(Date.parse(safeFrom))
    const told = await prepare('30', { prepared: first.outputs['snapshot'] })
    expectSuccess(told)
    expect(told.outputs['safe-from']).toBe(safeFrom)
    expect(JSON.parse(told.outputs['snapshot'] ?? '')).toEqual(JSON.parse(first.outputs['snapshot'] ?? ''))
    expect(await serial()).toBe(before)
  })

  test('lost in the middle: the next run lowers the others, and says no time that is too early', async () => {
    await giveTtl(3_600)
    const start = Date.now()
    await atWrite(2, { phase: 'prepare', ttl: '30' }, (run) => run.lostRunner())
    expect((await sets()).map((one) => one?.ttl)).toEqual([30, 3_600])
    const next = await prepare('30')
    expectSuccess(next)
    expect(await sets()).toEqual(both(30))
    expect(Date.parse(next.outputs['safe-from'] ?? '')).toBeGreaterThanOrEqual(start + 3_600_000)
  })

  test('killed in the middle: what it gave out tells the next run what the TTLs were', async () => {
    await giveTtl(3_600)
    const start = Date.now()
    const inputs = { phase: 'prepare', ttl: '30', 'on-failure': 'stop' }
    const killed = await atWrite(2, inputs, (run) => run.kill9())
    expect(killed.log).toMatch(/www\.example\.test A holds the new value \(TTL 30 s\)/)
    const half = killed.outputs['snapshot'] ?? ''
    expectFailure(await scene.flip({ prepared: half }), /`prepared` is of a run that did not come to its end/)
    const next = await prepare('30', { prepared: half })
    expectSuccess(next)
    expect(await sets()).toEqual(both(30))
    expect(Date.parse(next.outputs['safe-from'] ?? '')).toBeGreaterThanOrEqual(start + 3_600_000)
    expect(JSON.parse(next.outputs['snapshot'] ?? '').records).toMatchObject([{ ttl: 3_600 }, { ttl: 3_600 }])
  })

  test('killed in the middle, with on-failure: revert: the settle step brings the TTLs back', async () => {
    await giveTtl(3_600)
    const result = await atWrite(2, { phase: 'prepare', ttl: '30' }, (run) => run.kill9())
    expect(result.log).toMatch(/www\.example\.test A is back at the old value \(TTL 3600 s\)/)
    expect(result.log).toMatch(/api\.example\.test A holds the old value \(TTL 3600 s\)/)
    expect(await sets()).toEqual(both(3_600))
  })
})

describe('a flip with `ttl`', () => {
  test('is refused where a TTL is above it and nothing was prepared', async () => {
    const before = await serial()
    expectFailure(
      await scene.flip({ ttl: '4s' }),
      /www\.example\.test A has a TTL of 5 s, above `ttl` \(4 s\).*run `phase: prepare` first/,
      /nothing was changed/,
    )
    expect(await serial()).toBe(before)
  })

  test('goes on where none is, and says so', async () => {
    const result = await scene.flip({ ttl: '5s' })
    expectSuccess(result)
    expect(result.log).toContain('no TTL to lower to 5 s, and none to bring back')
    expect(await sets()).toEqual(both(5, NEW))
  })
})

describe('a flip with `prepared`', () => {
  test('is refused before its time, with both times', async () => {
    await giveTtl(3_600)
    const { outputs } = await prepare('30')
    const before = await serial()
    const result = await scene.flip({ prepared: outputs['snapshot'] ?? '' })
    expectFailure(
      result,
      /too early/,
      /it is 20\d\d-.*Z; a flip is safe from 20\d\d-.*Z/,
      /nothing was changed/,
    )
    expectFailure(result, outputs['safe-from'] ?? '-')
    expect(await serial()).toBe(before)
  })

  test('is refused where a TTL was raised since', async () => {
    const snapshot = await asPrepared()
    await giveTtl(300, ['api'])
    expectFailure(await scene.flip({ prepared: snapshot }), /api\.example\.test A has a TTL of 300 s/)
  })

  test('brings the TTLs back at the end, proven', async () => {
    const snapshot = await prepared()
    const unchanged = await serial()
    const plan = await scene.flip({ prepared: snapshot, 'dry-run': 'true' })
    expect(plan.log).toContain('at the end: www.example.test A: TTL 1 s -> 2 s')
    expect(await serial()).toBe(unchanged)
    const result = await scene.flip({
      prepared: snapshot,
      'after-flip': 'echo "TTLs come $(echo after) this"',
    })
    expectSuccess(result)
    expect(await sets()).toEqual(both(2, NEW))
    expect(result.log).toMatch(/TTLs come after this[\s\S]*TTL 1 s -> 2 s[\s\S]*with the TTLs from before/)
    expect(JSON.parse(result.outputs['snapshot'] ?? '').records).toMatchObject([{ ttl: 2 }, { ttl: 2 }])
    const before = await serial()
    expectSuccess(await scene.flip({ prepared: snapshot }))
    expect(await serial()).toBe(before)
  })

  test('leaves the TTLs low when it goes back, so that the next run need not wait', async () => {
    const snapshot = await asPrepared()
    const result = await scene.flip({ prepared: snapshot, 'after-flip': 'false' })
    expectFailure(result, /`after-flip` failed/, /is back at the old value \(127\.0\.0\.1\)/)
    expect(result.log).toContain('TTLs stay at 1 s: a later run with `prepared` need not wait')
    expect(await sets()).toEqual(both(1))
    expectSuccess(await scene.flip({ records: '', restore: snapshot }))
    expect(await sets()).toEqual(both(2))
  })

  test('lost while the TTLs come back: the next run brings back the others', async () => {
    const snapshot = await asPrepared()
    await atWrite(4, { prepared: snapshot }, (run) => run.lostRunner())
    expect((await sets()).map((one) => one?.ttl)).toEqual([2, 1])
    const result = await scene.flip({ prepared: snapshot })
    expectSuccess(result)
    expect(await sets()).toEqual(both(2, NEW))
  })

  test('killed while the TTLs come back: the settle step leaves the flip, which is complete', async () => {
    const snapshot = await asPrepared()
    const result = await atWrite(4, { prepared: snapshot }, (run) => run.kill9())
    expect(result.log).toMatch(
      /the flip is complete; not all TTLs are back[\s\S]*api\.example\.test A holds the old value \(TTL 1 s\)/,
    )
    expect((await sets()).map((one) => one?.values)).toEqual([[NEW], [NEW]])
  })
})

test("a flip's own snapshot brings back values and TTLs", async () => {
  const snapshot = await asPrepared()
  const { outputs } = await scene.flip({ prepared: snapshot })
  await scene.dns.replace(ZONE, { name: 'api', type: 'A', ttl: 1, values: [NEW] })
  expectSuccess(await scene.flip({ records: '', restore: outputs['snapshot'] ?? '' }))
  expect(await sets()).toEqual(both(2))
})
