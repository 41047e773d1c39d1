import { expect, test } from 'vitest'
import { watchTail } from '../../src/dns/tail.ts'
import { recordingContext } from '../ssh/recording-context.ts'
import { startScriptedServer } from './scripted-server.ts'

const [OLD, NEW] = ['192.0.2.1', '192.0.2.2']
const expected = [{ name: 'www.example.test', type: 'A', ttl: 60, values: [NEW] }]
const options = { servers: [], expected: [], probes: [], oldTtl: 60, watchMs: 0 }

test.each([
  ['its first new answer', [OLD, NEW, OLD]],
  ['a round of new answers', [...Array(5).fill(NEW), OLD]],
  ['answers that change by turns', Array(15).fill([OLD, NEW]).flat()],
])('a resolver is not believed for %s', async (_, script: string[]) => {
  const resolver = await startScriptedServer([...script, NEW])
  // Name servers are asked beside it: this one has the new values throughout.
  const server = await startScriptedServer([NEW])
  try {
    const servers = [{ name: 'ns1', addresses: [server] }]
    await watchTail({ ...options, servers, expected, resolvers: [resolver] }, recordingContext())
    expect(resolver.asked()).toBeGreaterThanOrEqual(script.lastIndexOf(OLD) + 1 + 15)
  } finally {
    resolver.stop()
    server.stop()
  }
})

test('a resolver that keeps the old values for longer than their TTL is an error', async () => {
  const resolver = await startScriptedServer([OLD])
  const server = await startScriptedServer([NEW])
  let now = 0
  const sleep = async (ms: number) => {
    now += 100 * ms
  }
  const clock = { now: () => now, monotonic: () => now, sleep }
  try {
    const servers = [{ name: 'ns1', addresses: [server] }]
    const watched = watchTail(
      { ...options, servers, expected, resolvers: [resolver] },
      { ...recordingContext(), clock },
    )
    await expect(watched).rejects.toMatchObject({
      message: 'a resolver does not come to answer with the new values',
      details: { seen: expect.stringContaining(`www.example.test A ${OLD}`) },
    })
    expect(now).toBeGreaterThan(60_000)
  } finally {
    resolver.stop()
    server.stop()
  }
})
