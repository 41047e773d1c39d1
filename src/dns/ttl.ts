// TTLs around a flip: brought down ahead of it (`prepare`), and back when it is complete.
import { type Context, throwIfCancelled } from '../context.ts'
import { Failure } from '../failure.ts'
import { type GoingBack, goBack, type Outcome } from './go-back.ts'
import { type ProofPolicy, proveAtNameServers } from './name-servers.ts'
import type { PlannedChange } from './plan.ts'
import { isSameSet, type RecordSet, sameValues } from './record.ts'
import { originalTtl, type Prepared } from './snapshot.ts'
import { describeWrite, makeWrite, type Write } from './writes.ts'

/**
 * Seconds for which resolvers may keep what had an unknown TTL: a lost run may have lowered it a moment ago. Unbound
 * keeps nothing for longer (`cache-max-ttl`, by default), and Cloudflare takes no higher TTL.
 */
const UNKNOWN_TTL = 86_400

/** Seconds after which the clouds that proxy have new values everywhere (Cloudflare's "Auto"). */
const PROXIED_TTL = 300

/** Seconds for which somebody may still go by what a record set has held. */
export const staleness = ({ ttl, proxied }: RecordSet): number => (proxied ? PROXIED_TTL : ttl)

export interface PrepareOptions extends GoingBack {
  readonly steps: readonly PlannedChange[]
  /** Seconds. */
  readonly ttl: number
  /** What an earlier run of the same did. */
  readonly earlier: Prepared | undefined
  readonly proof: ProofPolicy
  /** Told of each write before it is made. */
  readonly onWrite: (writes: readonly Write[]) => void
}

/** Brings TTLs down, values untouched, and proves it. Rejects only when cancelled. */
export async function prepare(options: PrepareOptions, context: Context): Promise<Outcome> {
  const writes: Write[] = []
  try {
    for (const { current, next, verdict } of options.steps) {
      if (verdict === 'done') continue
      const write = { before: current, after: next }
      throwIfCancelled(context.signal)
      writes.push(write)
      options.onWrite(writes)
      await makeWrite(options.provider, options.zone, write, context)
      context.log.info(describeWrite(write))
    }
    const sets = options.steps.map(({ next }) => next)
    const { at, unchecked } = await proveAtNameServers(options.servers, sets, options.proof, context)
    context.log.info('every name server answers with the TTLs')
    return {
      records: writes.map((write) => ({ write, standing: 'new' })),
      safeFrom: flipSafeFrom(options, at),
      unchecked,
      failure: undefined,
    }
  } catch (error) {
    throwIfCancelled(context.signal)
    if (!(error instanceof Failure)) throw error
    return await goBack(options, writes, error, context)
  }
}

/**
 * From when no resolver keeps any of the old values for longer than the lowered TTL, milliseconds since 1970.
 * Never too early: of what an unknown run has lowered, nobody knows since when.
 */
export function flipSafeFrom(
  { steps, ttl, earlier }: Pick<PrepareOptions, 'steps' | 'ttl' | 'earlier'>,
  provenAt: number,
): number {
  const times = steps.map(({ change, current, verdict }) => {
    if (current.proxied || sameValues(change.from, change.to)) return provenAt
    const after = (seconds: number) => provenAt + seconds * 1_000
    const known = earlier?.records.some(({ name, type }) => name === current.name && type === current.type)
    const before =
      known && current.ttl === earlier?.ttl
        ? (earlier.safeFrom ?? after(originalTtl(earlier, current)))
        : after(current.ttl === ttl ? UNKNOWN_TTL : current.ttl)
    return verdict === 'write' ? Math.max(before, after(current.ttl)) : before
  })
  return Math.max(provenAt, ...times)
}

/** What brings the TTLs from before the preparation back, of names that hold the new values. */
export function ttlRestores(steps: readonly PlannedChange[], prepared: Prepared | undefined): Write[] {
  return steps.flatMap(({ change, next }) => {
    if (next.proxied || sameValues(change.from, change.to)) return []
    const after = { ...next, ttl: originalTtl(prepared, next) }
    return isSameSet(next, after) ? [] : [{ before: next, after }]
  })
}

/** Makes and proves such writes. Throws a `Failure` that says that the flip itself stands. */
export async function restoreTtls(
  writes: readonly Write[],
  { provider, zone, servers, proof }: Pick<PrepareOptions, 'provider' | 'zone' | 'servers' | 'proof'>,
  context: Context,
): Promise<void> {
  if (writes.length === 0) return
  try {
    for (const write of writes) {
      await makeWrite(provider, zone, write, context)
      context.log.info(describeWrite(write))
    }
    const sets = writes.map(({ after }) => after)
    await proveAtNameServers(servers, sets, proof, context)
    context.log.info('every name server answers with the TTLs from before')
  } catch (error) {
    throwIfCancelled(context.signal)
    if (!(error instanceof Failure)) throw error
    throw new Failure(`the names lead to the new target, but not all TTLs are back: ${error.message}`, {
      ...error.details,
      cause: error,
      state: 'the flip is complete; names may still have the lowered TTL, which is safe.',
      hint: 'run the job again with the same `prepared`: it brings back the TTLs that are left',
    })
  }
}
