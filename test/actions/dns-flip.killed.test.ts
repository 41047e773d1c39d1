// A flip that is killed at each of its steps, then run again.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type PowerDns, startPowerDns } from '../bed/powerdns.ts'
import { until } from '../bed/process.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gate } from './command-gate.ts'
import { type ApiGate, startApiGate, writes } from './dns-api-gate.ts'
import { POINTS, type Point } from './dns-interruptions.ts'
import { type DnsScene, NEW, OLD, startDnsScene, ZONE } from './dns-scene.ts'

let scene: DnsScene
let api: ApiGate
/** A name server that never follows. */
let behind: PowerDns
beforeAll(async () => {
  scene = await startDnsScene()
  api = await startApiGate(scene.dns.apiUrl)
  const sets = ['www', 'api'].map((name) => ({ name, type: 'A', ttl: 5, values: [OLD] }))
  behind = await startPowerDns({ zones: { [ZONE]: sets } })
})
beforeEach(async () => {
  api.reset()
  await scene.reset()
})
afterAll(async () => {
  api?.stop()
  await behind?.stop()
  await scene?.stop()
})

const values = async () => [(await scene.values('www'))?.join(), (await scene.values('api'))?.join()]
const lagging = () => `${scene.inputs['nameservers']}\n${behind.address}:${behind.port}`

/** Runs to the point, where `end` ends it. */
async function runTo(point: Point, end: 'kill9' | 'lostRunner', more: Record<string, string> = {}) {
  const arrival = point.prepare(api, lagging())
  try {
    return await scene.flip(
      { 'api-url': api.url, ...arrival.inputs, ...more },
      {
        during: async (run) => {
          await arrival.reached(run)
          expect(await values()).toEqual(point.values)
          void run[end]()
        },
      },
    )
  } finally {
    arrival.remove()
  }
}

async function runAgain(): Promise<void> {
  const result = await scene.flip({ 'api-url': api.url })
  expectSuccess(result)
  expect(await values()).toEqual([NEW, NEW])
  expect(JSON.parse(result.outputs['snapshot'] ?? '').records).toMatchObject([
    { name: `www.${ZONE}`, values: [OLD], written: [NEW] },
    { name: `api.${ZONE}`, values: [OLD], written: [NEW] },
  ])
}

describe.each(POINTS)('killed $name', (point) => {
  test('with its last step: all is as it was, and the next run does it', async () => {
    const result = await runTo(point, 'kill9')
    expect(result.conclusion).toBe('failure')
    expect(await values()).toEqual([OLD, OLD])
    for (const name of point.told)
      expect(result.log).toMatch(new RegExp(`${name} A (is back at|holds) the old`))
    await runAgain()
  })

  test('with its whole runner: the next run goes on from there', async () => {
    await runTo(point, 'lostRunner')
    expect(await values()).toEqual(point.values)
    await runAgain()
  })
})

describe('a last step that is killed itself', () => {
  test.each([
    ['before it reads', 'before', writes(`www.${ZONE}`, OLD), [NEW, OLD]],
    ['with its revert carried out, but not answered', 'answered', writes(`www.${ZONE}`, OLD), [OLD, OLD]],
  ] as const)('%s: the next run goes on from there', async (_, when, match, standing) => {
    const wait = gate()
    const held = api.hold(match, when)
    await scene.flip(
      { 'api-url': api.url, verify: wait.command },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          run.kill9()
          await held.reached
          expect(await values()).toEqual(standing)
          void run.lostRunner()
        },
      },
    )
    wait.remove()
    await runAgain()
  })
})

describe('what the next run finds', () => {
  const proof = POINTS.find(({ name }) => name.startsWith('in the proof'))!

  test('a name server that has not followed yet: nothing is written until it has', async () => {
    await runTo(proof, 'lostRunner')
    const before = await scene.dns.serial(ZONE)
    const result = await scene.flip({ nameservers: lagging() })
    expectFailure(
      result,
      /do not say what its provider says/,
      /127\.0\.0\.1, not 127\.0\.0\.2/,
      /nothing was changed/,
    )
    expect(await scene.dns.serial(ZONE)).toBe(before)
    await runAgain()
  })

  test('a record that somebody else has changed since: it stops, and says so', async () => {
    await runTo(proof, 'lostRunner')
    await scene.dns.replace(ZONE, { name: 'www', type: 'A', ttl: 5, values: ['127.0.0.9'] })
    const result = await scene.flip()
    expectFailure(
      result,
      /www\.example\.test A is 127\.0\.0\.9, neither the old .* nor the new/,
      /nothing was changed/,
    )
    expect(await values()).toEqual(['127.0.0.9', OLD])
  })

  test('a write that arrived only after the last step had looked: it goes on from there', async () => {
    const held = api.hold(writes(`www.${ZONE}`, NEW), 'before')
    const result = await scene.flip(
      { 'api-url': api.url },
      { during: async (run) => held.reached.then(() => run.kill9()) },
    )
    expect(result.log).toMatch(/www\.example\.test A holds the old value/)
    held.release()
    await until('the write is carried out', async () => (await scene.values('www'))?.[0] === NEW)
    await runAgain()
  })
})
