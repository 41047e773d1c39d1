// A flip that is killed at each of its steps, then run again.
import { describe, expect, test } from 'vitest'
import { until } from '../bed/process.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gate } from './command-gate.ts'
import { writes } from './dns-api-gate.ts'
import { gatedDnsScene } from './dns-gated-scene.ts'
import { POINTS, type Point } from './dns-interruptions.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

const gated = gatedDnsScene({ lagging: true })
const { values, lagging } = gated

/** Runs to the point, where `end` ends it. */
async function runTo(point: Point, end: 'kill9' | 'lostRunner', more: Record<string, string> = {}) {
  const arrival = point.prepare(gated.api, lagging())
  try {
    return await gated.scene.flip(
      { 'api-url': gated.api.url, ...arrival.inputs, ...more },
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
  const result = await gated.scene.flip({ 'api-url': gated.api.url })
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
    const held = gated.api.hold(match, when)
    await gated.scene.flip(
      { 'api-url': gated.api.url, verify: wait.command },
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
    const before = await gated.scene.dns.serial(ZONE)
    const result = await gated.scene.flip({ nameservers: lagging() })
    expectFailure(
      result,
      /do not say what its provider says/,
      /127\.0\.0\.1, not 127\.0\.0\.2/,
      /nothing was changed/,
    )
    expect(await gated.scene.dns.serial(ZONE)).toBe(before)
    await runAgain()
  })

  test('a record that somebody else has changed since: it stops, and says so', async () => {
    await runTo(proof, 'lostRunner')
    await gated.scene.dns.replace(ZONE, { name: 'www', type: 'A', ttl: 5, values: ['127.0.0.9'] })
    const result = await gated.scene.flip()
    expectFailure(
      result,
      /www\.example\.test A is 127\.0\.0\.9, neither the old .* nor the new/,
      /nothing was changed/,
    )
    expect(await values()).toEqual(['127.0.0.9', OLD])
  })

  test('a write that arrived only after the last step had looked: it goes on from there', async () => {
    const held = gated.api.hold(writes(`www.${ZONE}`, NEW), 'before')
    const result = await gated.scene.flip(
      { 'api-url': gated.api.url },
      { during: async (run) => held.reached.then(() => run.kill9()) },
    )
    expect(result.log).toMatch(/www\.example\.test A holds the old value/)
    held.release()
    await until('the write is carried out', async () => (await gated.scene.values('www'))?.[0] === NEW)
    await runAgain()
  })
})
