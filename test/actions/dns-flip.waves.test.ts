import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gate } from './command-gate.ts'
import { type DnsScene, NEW, OLD, startDnsScene, ZONE } from './dns-scene.ts'

const names = ['www', 'api', 'a', 'b', 'c']
const records = names.map((name) => `${name} A ${OLD} -> ${NEW}`).join('\n')
const own = names.slice(2).map((name) => ({ name, type: 'A', ttl: 5, values: [OLD] }))
const full = (...some: string[]) => some.map((name) => `${name}.${ZONE}`).join(', ')

let scene: DnsScene
let wait: ReturnType<typeof gate>
beforeAll(async () => {
  scene = await startDnsScene(own)
})
beforeEach(async () => {
  wait = gate()
  await scene.reset()
  for (const set of own) await scene.dns.replace(ZONE, set)
})
afterEach(() => wait.remove())
afterAll(() => scene?.stop())

const values = () => Promise.all(names.map(async (name) => (await scene.values(name))?.join()))

/** Flips, and changes things while the canary is at the gate. */
const atTheGate = (inputs: Record<string, string>, change: () => Promise<void>) =>
  scene.flip(
    { records, verify: wait.command, ...inputs },
    {
      during: async (run) => {
        await run.waitForLog(/at the gate: www/)
        await change()
        wait.open()
      },
    },
  )

test('each wave has twice as many names, and is proven before the next', async () => {
  const result = await scene.flip({ records, verify: 'echo "verified $EVENKEEL_NAMES"' })
  expectSuccess(result)
  const steps = result.log
    .split('\n')
    .filter((line) => /^(canary|wave|every name server|verified)/.test(line))
  expect(steps).toEqual([
    `canary: ${full('www')}`,
    'every name server answers with the new values (5 rounds)',
    `verified www.${ZONE}`,
    `wave 2 of 3: ${full('api', 'a')}`,
    'every name server answers with the new values (5 rounds)',
    `wave 3 of 3: ${full('b', 'c')}`,
    'every name server answers with the new values (5 rounds)',
  ])
})

test('what fails in a later wave goes back in reverse order', async () => {
  const result = await atTheGate({}, async () => {
    await scene.dns.replace(ZONE, { name: 'c', type: 'A', ttl: 5, values: ['127.0.0.9'] })
  })
  expectFailure(result, /c\.example\.test A was changed by somebody else/)
  const back = [...result.log.matchAll(/^(\w+)\.example\.test A: back to/gm)].map(([, name]) => name)
  expect(back).toEqual(['b', 'a', 'api', 'www'])
  expect(await values()).toEqual([OLD, OLD, OLD, OLD, '127.0.0.9'])
})

describe('a new machine that breaks after the canary', () => {
  test('is left, and the others never went there', async () => {
    const result = await atTheGate({}, () => scene.answerWith(500))
    expectFailure(result, /does not serve the names that lead to it/, /status 500/)
    expect(result.log).not.toContain('wave 2')
    expect(await values()).toEqual([OLD, OLD, OLD, OLD, OLD])
  })

  test('is not left for an old one that does not serve either', async () => {
    const result = await atTheGate({}, async () => {
      await scene.answerWith(500)
      await scene.answerWith(502, 'old')
    })
    expectFailure(
      result,
      /www\.example\.test A holds the new value .*left alone: the old machine does not serve it either/,
      /at 127\.0\.0\.1: unexpected status, status 502/,
    )
    expect(await values()).toEqual([NEW, OLD, OLD, OLD, OLD])
  })

  test('a cancelled run does not go back to such an old one', async () => {
    const result = await scene.flip(
      { records, verify: wait.command },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          await scene.answerWith(502, 'old')
          await run.cancel()
        },
      },
    )
    expect(result.conclusion).toBe('cancelled')
    expect(result.log).toMatch(/www\.example\.test A holds the new value .*left alone: the old machine/)
    expect(await values()).toEqual([NEW, OLD, OLD, OLD, OLD])
  })
})
