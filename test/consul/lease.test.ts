import { afterAll, beforeAll, expect, test } from 'vitest'
import { ConsulClient, directDispatcher } from '../../src/consul/client.ts'
import { readEntry, transact } from '../../src/consul/kv.ts'
import { adoptLease, takeLease } from '../../src/consul/lease.ts'
import { type Consul, startConsul } from '../bed/consul.ts'
import { recordingContext } from '../ssh/recording-context.ts'

let consul: Consul
let client: ConsulClient
beforeAll(async () => {
  consul = await startConsul()
  client = new ConsulClient({ urls: [consul.url], token: '', dispatcher: directDispatcher('') })
})
afterAll(() => consul.stop())

const context = recordingContext()
const options = (lockKey: string, holder = 'run 1') => ({ lockKey, holder, ttlMs: 10_000, waitMs: 0 })
/** As Consul does when the server that a session was made at is taken out of the catalog. */
const end = (session: string) => consul.call('PUT', `/v1/session/destroy/${session}`)

test('a session that ends before its time is replaced, and what was fenced stays in order', async () => {
  const sessions: string[] = []
  const lease = await takeLease(
    client,
    { ...options('a/lock'), onSession: (id) => sessions.push(id) },
    context,
  )
  const first = lease.fence
  await end(lease.session)
  await lease.retake()
  lease.assertHeld()
  expect(lease.fence).toBeGreaterThan(first)
  expect(sessions).toHaveLength(2)
  expect(sessions.at(-1)).toBe(lease.session)
  expect(await transact(client, [lease.check], context)).toEqual([])
  expect(await adoptLease(client, options('a/lock'), lease.session, context)).toBeDefined()
  await lease.release(context)
  expect(await readEntry(client, 'a/lock', context)).toBeUndefined()
})

test('two who find the end of the session at once take the lock anew once', async () => {
  const lease = await takeLease(client, options('b/lock'), context)
  await end(lease.session)
  await Promise.all([lease.retake(), lease.retake()])
  lease.assertHeld()
  expect((await readEntry(client, 'b/lock', context))?.lockIndex).toBe(2)
  await lease.release(context)
})

test('a lock that another run holds by now is lost', async () => {
  const lease = await takeLease(client, options('c/lock'), context)
  await end(lease.session)
  const other = await takeLease(client, options('c/lock', 'run 2'), context)
  await expect(lease.retake()).rejects.toThrow('the lease of this upstream was lost')
  expect(lease.lost.aborted).toBe(true)
  other.assertHeld()
  expect(await transact(client, [other.check], context)).toEqual([])
  await lease.release(context)
  await other.release(context)
})

test.each([
  ['given back', async (lease: { release(c: typeof context): Promise<void> }) => lease.release(context)],
  ['lost with its runner', async (lease: { session: string }) => void (await end(lease.session))],
])('a lock that another run has held and %s is lost', async (_, finish) => {
  const key = `d${_.length}/lock`
  const lease = await takeLease(client, options(key), context)
  await end(lease.session)
  await finish(await takeLease(client, options(key, 'run 2'), context))
  await expect(lease.retake()).rejects.toThrow('the lease of this upstream was lost')
  await lease.release(context)
})

test('a renewal that finds its session ended takes the lock anew by itself', async () => {
  const lease = await takeLease(client, options('e/lock'), context)
  const before = lease.session
  await end(before)
  await expect.poll(() => lease.session, { timeout: 30_000 }).not.toBe(before)
  lease.assertHeld()
  await lease.release(context)
})
