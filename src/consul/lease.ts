import type { Context } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { describeError, Failure } from '../failure.ts'
import { AmbiguousAnswer, type ConsulClient } from './client.ts'
import { acquire, type KvEntry, readEntry, transact } from './kv.ts'
import { createSession, destroySession, isSessionId, LOCK_DELAY_MS, renewSession } from './session.ts'

export interface LeaseOptions {
  /** Outside of the prefix that upsync reads. */
  readonly lockKey: string
  /** Who holds it, for those who find it held. */
  readonly holder: string
  readonly ttlMs: number
  /** How long to wait for another holder. */
  readonly waitMs: number
  /** Told of each session before it takes the lock, for a later process of the same job. */
  readonly onSession?: (session: string) => void
}

const POLL_MS = 500
const RETRY_RENEWAL_MS = 500
/** Tries to remove the lock: left behind, it would hinder nobody, but tell of a run that has ended. */
const REMOVALS = 3

/** Takes the lease; only one run holds it at a time. Throws a `Failure` that names the holder. */
export async function takeLease(
  client: ConsulClient,
  options: LeaseOptions,
  context: Context,
): Promise<Lease> {
  const { id: session, renewedAt } = await newSession(client, options, context)
  const value = JSON.stringify({ holder: options.holder, since: new Date(context.clock.now()).toISOString() })
  const lease = new Lease(client, options, { session, value, renewedAt }, context)
  try {
    const entry = await lockWith(client, options, session, value, context)
    if (entry === undefined) throw new Failure('the lease was lost as soon as it was taken')
    lease.holdBy(entry)
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
  options: LeaseOptions,
  session: string,
  context: Context,
): Promise<Lease | undefined> {
  if (!isSessionId(session)) return undefined
  const startedAt = context.clock.monotonic()
  if (!(await renewSession(client, session, context))) return undefined
  const entry = await readEntry(client, options.lockKey, context)
  if (entry?.session !== session) return undefined
  const lease = new Lease(client, options, { session, value: entry.value, renewedAt: startedAt }, context)
  lease.holdBy(entry)
  return lease
}

async function newSession(client: ConsulClient, options: LeaseOptions, context: Context) {
  const { lockKey, ttlMs, onSession } = options
  const session = await createSession(client, { name: `evenkeel ${lockKey}`, ttlMs }, context)
  onSession?.(session.id)
  return session
}

/** The lock as it is once this session holds it; undefined when it does not. */
async function lockWith(
  client: ConsulClient,
  options: LeaseOptions,
  session: string,
  value: string,
  context: Context,
): Promise<KvEntry | undefined> {
  await waitForLock(client, options, session, value, context)
  const entry = await readEntry(client, options.lockKey, context)
  return entry?.session === session ? entry : undefined
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
export function holderOf(value: string): string {
  try {
    return String((JSON.parse(value) as { holder?: unknown }).holder)
  } catch {
    return value
  }
}

function describeHolder(value: string): string {
  const since = /"since":"([^"]{1,30})"/.exec(value)?.[1]
  return `${holderOf(value).slice(0, 200)}${since === undefined ? '' : ` since ${since}`}`
}

/**
 * The right to change one upstream, kept alive until it is released or lost. Its session may end before its time:
 * Consul removes a server that has died from its catalog after some seconds, and with it the sessions that were made
 * there. Then a new session takes the lock anew, and the lock itself tells whether anybody has held it in between:
 * Consul counts in `LockIndex` how often a key was locked.
 */
export class Lease {
  readonly lockKey: string
  session: string
  /** Grows with every lease of this upstream: who has seen a higher one refuses a lower one. */
  fence = 0
  /** Aborts, with a `Failure` as its reason, when the lease may have ended. */
  readonly lost: AbortSignal
  readonly #client: ConsulClient
  readonly #options: LeaseOptions
  readonly #ttlMs: number
  readonly #value: string
  readonly #context: Context
  readonly #loss = new AbortController()
  readonly #stop = new AbortController()
  readonly #renewing: Promise<void>
  #renewedAt: number
  #lock: Pick<KvEntry, 'createIndex' | 'lockIndex'> = { createIndex: 0, lockIndex: 0 }
  #retaking: Promise<void> | undefined

  constructor(
    client: ConsulClient,
    options: LeaseOptions,
    held: { session: string; value: string; renewedAt: number },
    context: Context,
  ) {
    this.lockKey = options.lockKey
    this.session = held.session
    this.lost = this.#loss.signal
    this.#client = client
    this.#options = options
    this.#ttlMs = options.ttlMs
    this.#value = held.value
    this.#renewedAt = held.renewedAt
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

  /** Notes the lock as this lease's session has it. */
  holdBy({ session, modifyIndex, createIndex, lockIndex }: KvEntry): void {
    this.session = session ?? this.session
    this.fence = modifyIndex
    this.#lock = { createIndex, lockIndex }
  }

  /** Takes the lock anew after the end of its session; throws, the lease being lost, when somebody else has had it. */
  async retake(): Promise<void> {
    this.#retaking ??= this.#retake().finally(() => {
      this.#retaking = undefined
    })
    await this.#retaking
    this.lost.throwIfAborted()
  }

  /** Gives it back, also after a cancel. The lock key goes with it. */
  async release(caller: Context): Promise<void> {
    const context = { ...caller, signal: new AbortController().signal }
    this.#stop.abort()
    await this.#renewing
    // Deleted first: a session that dies with its lock starts the lock delay.
    const removal = [this.check, { verb: 'delete', key: this.lockKey }] as const
    for (let attempt = 1; attempt <= REMOVALS; attempt++) {
      const error = await transact(this.#client, removal, context).catch((thrown: unknown) => thrown)
      if (!(error instanceof AmbiguousAnswer)) break
    }
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
        if (await renewSession(this.#client, this.session, this.#context)) this.#renewedAt = startedAt
        else await this.retake()
        pause = this.#ttlMs / 3
      } catch (error) {
        if (signal.aborted || this.lost.aborted) return
        log.warn(`the lease was not renewed: ${describeError(error).replaceAll('\n', ' ')}`)
        pause = RETRY_RENEWAL_MS
      }
      if (clock.monotonic() - this.#renewedAt > (this.#ttlMs * 2) / 3) {
        return this.#lose('it could not be renewed in time')
      }
    }
  }

  async #retake(): Promise<void> {
    const { log } = this.#context
    const before = await readEntry(this.#client, this.lockKey, this.#context)
    if (before?.session === this.session) return
    if (before === undefined || before.session !== undefined || !this.#isOurs(before, 0)) {
      return this.#lose('its session has ended, and another run has held the lock since')
    }
    const options = { ...this.#options, waitMs: 0 }
    const { id: session, renewedAt } = await newSession(this.#client, options, this.#context)
    const entry = await lockWith(this.#client, options, session, this.#value, this.#context).catch(
      (error) => {
        if (error instanceof AmbiguousAnswer || !(error instanceof Failure)) throw error
        return undefined
      },
    )
    if (entry === undefined || !this.#isOurs(entry, 1)) {
      await destroySession(this.#client, session, this.#context).catch(() => {})
      return this.#lose('its session has ended, and another run was quicker to take the lock')
    }
    this.holdBy(entry)
    this.#renewedAt = renewedAt
    log.warn(
      `Consul has ended the session of the lease (a server was lost?): taken anew (number ${this.fence})`,
    )
  }

  /** Whether the lock is the one we had, locked this many times since. */
  #isOurs({ createIndex, lockIndex }: KvEntry, times: number): boolean {
    return createIndex === this.#lock.createIndex && lockIndex === this.#lock.lockIndex + times
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
