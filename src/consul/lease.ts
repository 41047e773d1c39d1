import type { Context } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { describeError, Failure } from '../failure.ts'
import { AmbiguousAnswer, type ConsulClient } from './client.ts'
import { acquire, readEntry, transact } from './kv.ts'
import { createSession, destroySession, isSessionId, LOCK_DELAY_MS, renewSession } from './session.ts'

export interface LeaseOptions {
  /** Outside of the prefix that upsync reads. */
  readonly lockKey: string
  /** Who holds it, for those who find it held. */
  readonly holder: string
  readonly ttlMs: number
  /** How long to wait for another holder. */
  readonly waitMs: number
}

const POLL_MS = 500
const RETRY_RENEWAL_MS = 500

/** Takes the lease; only one run holds it at a time. Throws a `Failure` that names the holder. */
export async function takeLease(
  client: ConsulClient,
  options: LeaseOptions,
  context: Context,
): Promise<Lease> {
  const { lockKey, holder, ttlMs } = options
  const startedAt = context.clock.monotonic()
  const session = await createSession(client, { name: `evenkeel ${lockKey}`, ttlMs }, context)
  const lease = new Lease(client, lockKey, session, ttlMs, startedAt, context)
  try {
    const value = JSON.stringify({ holder, since: new Date(context.clock.now()).toISOString() })
    await waitForLock(client, options, session, value, context)
    const entry = await readEntry(client, lockKey, context)
    if (entry?.session !== session) throw new Failure('the lease was lost as soon as it was taken')
    lease.fence = entry.modifyIndex
    return lease
  } catch (error) {
    await lease.release(context).catch(() => {})
    throw error
  }
}

/**
 * Goes on with the lease of a process that is known to be dead (the main step of the same job). Undefined when it has
 * ended by itself.
 */
export async function adoptLease(
  client: ConsulClient,
  { lockKey, ttlMs }: Pick<LeaseOptions, 'lockKey' | 'ttlMs'>,
  session: string,
  context: Context,
): Promise<Lease | undefined> {
  if (!isSessionId(session)) return undefined
  const startedAt = context.clock.monotonic()
  if (!(await renewSession(client, session, context))) return undefined
  const entry = await readEntry(client, lockKey, context)
  if (entry?.session !== session) return undefined
  const lease = new Lease(client, lockKey, session, ttlMs, startedAt, context)
  lease.fence = entry.modifyIndex
  return lease
}

async function waitForLock(
  client: ConsulClient,
  { lockKey, waitMs, ttlMs }: LeaseOptions,
  session: string,
  value: string,
  context: Context,
): Promise<void> {
  const { clock, signal, log } = context
  const start = clock.monotonic()
  let shown = ''
  let freeSince: number | undefined
  for (;;) {
    const taken = await acquire(client, lockKey, session, value, context).catch((error: unknown) => {
      if (error instanceof AmbiguousAnswer) return false
      throw error
    })
    if (taken) return
    const entry = await readEntry(client, lockKey, context)
    if (entry?.session === session) return
    const waited = clock.monotonic() - start
    if (entry?.session === undefined) {
      // Nobody holds it: the lock delay after a dead session runs, whoever waits or not.
      freeSince ??= clock.monotonic()
      if (clock.monotonic() - freeSince > LOCK_DELAY_MS * 10) {
        throw new Failure('the lease cannot be taken although nobody holds it', {
          seen: lockKey,
          hint: 'a session of somebody else has held this key: run the job again in a minute',
        })
      }
    } else {
      freeSince = undefined
      const held = describeHolder(entry.value)
      if (waited >= waitMs) {
        throw new Failure('another run holds the lease of this upstream', {
          seen: held,
          state: 'this run has changed nothing.',
          hint: `wait for that run, or set \`lock-wait\`; if it is dead, its lease ends by itself within about ${formatDuration(ttlMs * 2)} and the next run puts right what it left`,
        })
      }
      if (held !== shown) log.info(`waiting for the lease, held by ${held}`)
      shown = held
    }
    await clock.sleep(POLL_MS, signal)
  }
}

/** The holder as it describes itself; the text comes from Consul and may be anything. */
function describeHolder(value: string): string {
  try {
    const { holder, since } = JSON.parse(value) as { holder?: unknown; since?: unknown }
    return `${String(holder).slice(0, 200)} since ${String(since).slice(0, 30)}`
  } catch {
    return value.slice(0, 200)
  }
}

/** The right to change one upstream, kept alive until it is released or lost. */
export class Lease {
  readonly lockKey: string
  readonly session: string
  /** Grows with every lease of this upstream: who has seen a higher one refuses a lower one. */
  fence = 0
  /** Aborts, with a `Failure` as its reason, when the lease may have ended. */
  readonly lost: AbortSignal
  readonly #client: ConsulClient
  readonly #ttlMs: number
  readonly #context: Context
  readonly #loss = new AbortController()
  readonly #stop = new AbortController()
  readonly #renewing: Promise<void>
  #renewedAt: number

  constructor(
    client: ConsulClient,
    lockKey: string,
    session: string,
    ttlMs: number,
    renewedAt: number,
    context: Context,
  ) {
    this.lockKey = lockKey
    this.session = session
    this.lost = this.#loss.signal
    this.#client = client
    this.#ttlMs = ttlMs
    this.#renewedAt = renewedAt
    // Renewals go on while a cancelled run puts things right.
    this.#context = { ...context, signal: this.#stop.signal }
    this.#renewing = this.#keepAlive()
  }

  /** Throws unless the lease is certainly held at this moment. */
  assertHeld(): void {
    if (this.#context.clock.monotonic() - this.#renewedAt >= this.#ttlMs) {
      this.#lose('it was not renewed in time')
    }
    this.lost.throwIfAborted()
  }

  /** The operation that makes a transaction fail unless this lease is held. */
  get check() {
    return { verb: 'check-session', key: this.lockKey, session: this.session } as const
  }

  /** Notes that Consul says this session no longer holds the lock. */
  markLost(): never {
    this.#lose('Consul says that its session has ended or that another run holds the lock')
    throw this.lost.reason
  }

  /** Gives it back, also after a cancel. The lock key goes with it. */
  async release(caller: Context): Promise<void> {
    const context = { ...caller, signal: new AbortController().signal }
    this.#stop.abort()
    await this.#renewing
    // Deleted first: a session that dies with its lock starts the lock delay.
    await transact(this.#client, [this.check, { verb: 'delete', key: this.lockKey }], context).catch(() => {})
    await destroySession(this.#client, this.session, context)
  }

  async #keepAlive(): Promise<void> {
    const { clock, signal, log } = this.#context
    let pause = this.#ttlMs / 3
    while (!signal.aborted && !this.lost.aborted) {
      await clock.sleep(pause, signal).catch(() => {})
      if (signal.aborted) return
      const startedAt = clock.monotonic()
      try {
        if (!(await renewSession(this.#client, this.session, this.#context))) {
          return this.#lose('Consul says that its session has ended')
        }
        this.#renewedAt = startedAt
        pause = this.#ttlMs / 3
      } catch (error) {
        if (signal.aborted) return
        log.warn(`the lease was not renewed: ${describeError(error).replaceAll('\n', ' ')}`)
        pause = RETRY_RENEWAL_MS
      }
      if (clock.monotonic() - this.#renewedAt > (this.#ttlMs * 2) / 3) {
        return this.#lose('it could not be renewed in time')
      }
    }
  }

  #lose(seen: string): void {
    this.#loss.abort(
      new Failure('the lease of this upstream was lost', {
        seen,
        state: 'this run starts and writes nothing more.',
        hint: 'run the job again: it finds what is drained, checks its health and puts it back',
      }),
    )
  }
}
