import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { AmbiguousAnswer, type ConsulAnswer, type ConsulClient, unexpected } from './client.ts'

/** The lock delay: for this long after a session's death nobody gets its lock. */
export const LOCK_DELAY_MS = 1_000

/** Consul's own limits. */
export const SHORTEST_TTL_MS = 10_000
export const LONGEST_TTL_MS = 86_400_000

const ATTEMPTS = 3
const RETRY_PAUSE_MS = 500

export interface NewSession {
  readonly id: string
  /** Monotonic time, in ms, from which its TTL counts at the earliest. */
  readonly renewedAt: number
}

/**
 * Creates a session that dies by itself unless it is renewed (Consul takes up to twice the TTL for that), and
 * verifies that Consul has understood it: a session whose body was ignored would hold its lock for ever.
 */
export async function createSession(
  client: ConsulClient,
  { name, ttlMs }: { name: string; ttlMs: number },
  context: Context,
): Promise<NewSession> {
  const body = {
    Name: name,
    TTL: `${ttlMs}ms`,
    LockDelay: `${LOCK_DELAY_MS}ms`,
    // The lock outlives it, and counts who has held it: see Lease.
    Behavior: 'release',
    // Without the node's own check, whose failure would end the session although we live.
    Checks: [],
  }
  const { answer, renewedAt } = await create(client, JSON.stringify(body), context)
  if (answer.status !== 200) throw unexpected('Consul creates no session', answer)
  const id = (JSON.parse(answer.text) as { ID?: unknown }).ID
  if (typeof id !== 'string' || !isSessionId(id)) throw unexpected('Consul gives no session', answer)
  const info = await client.read(`/v1/session/info/${id}`, context)
  const [seen] = info.status === 200 ? (JSON.parse(info.text) as { TTL?: string; Behavior?: string }[]) : []
  if (seen?.Behavior !== 'release' || !seen.TTL) {
    await destroySession(client, id, context)
    throw new Failure('Consul has not understood the session', {
      host: info.url,
      seen: info.text.slice(0, 300),
      hint: 'something between here and Consul changes requests: give an address without a proxy as `consul-url`',
    })
  }
  return { id, renewedAt }
}

/** Again after no answer: a session that nobody knows of holds nothing and dies by itself. */
async function create(
  client: ConsulClient,
  body: string,
  context: Context,
): Promise<{ answer: ConsulAnswer; renewedAt: number }> {
  for (let attempt = 1; ; attempt++) {
    const renewedAt = context.clock.monotonic()
    try {
      return { answer: await client.write('PUT', '/v1/session/create', body, context), renewedAt }
    } catch (error) {
      if (!(error instanceof AmbiguousAnswer) || attempt === ATTEMPTS) throw error
    }
    await context.clock.sleep(RETRY_PAUSE_MS, context.signal)
  }
}

export function isSessionId(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
}

/** False when the session is dead. */
export async function renewSession(client: ConsulClient, id: string, context: Context): Promise<boolean> {
  const answer = await client.write('PUT', `/v1/session/renew/${id}`, '', context)
  if (answer.status === 200) return true
  if (answer.status === 404) return false
  throw unexpected('Consul does not renew the session', answer)
}

/** Ends a session and frees what it has locked. */
export async function destroySession(client: ConsulClient, id: string, context: Context): Promise<void> {
  const answer = await client.write('PUT', `/v1/session/destroy/${id}`, '', context)
  if (answer.status !== 200) throw unexpected('Consul does not end the session', answer)
}
