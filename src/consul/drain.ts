import { randomUUID } from 'node:crypto'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { AmbiguousAnswer, type ConsulClient } from './client.ts'
import { type JournalEntry, type JournalStep, ownKeys, parseJournalEntry } from './journal.ts'
import { type Conflict, type KvOperation, readEntry, transact } from './kv.ts'
import type { Lease } from './lease.ts'
import { readUpstream, type UpstreamNode } from './upstream.ts'
import { drainedValue } from './upstream-value.ts'

/** What a drain or undrain works with. */
export interface Drains {
  readonly client: ConsulClient
  readonly upstream: string
  readonly lease: Lease
  /** For those who read the journal. */
  readonly holder: string
}

/**
 * Says which other nodes count towards the floor, given those that Consul calls up, in a circle from the node on.
 * Throws a `Failure` when they are too few.
 */
export type Guard = (others: readonly UpstreamNode[]) => Promise<readonly UpstreamNode[]>

const ATTEMPTS = 20
const RETRY_PAUSE_MS = 250

export function newDrainId(): string {
  return `evenkeel-${randomUUID()}`
}

/**
 * Takes one node out: a single transaction that checks the lease and that no counted node has changed, writes the
 * node's value, and journals it. Done again from the beginning when something has changed meanwhile.
 */
export async function drainNode(
  drains: Drains,
  { address, id, release, held = false }: { address: string; id: string; release: string; held?: boolean },
  guard: Guard,
  context: Context,
): Promise<JournalEntry> {
  const { client, upstream, lease, holder } = drains
  const keys = ownKeys(upstream)
  let changed = ''
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const nodes = await readUpstream(client, upstream, context)
    const target = nodes.get(address)
    if (target === undefined) throw refusal(address, `${upstream} has no node ${address}`)
    const at = new Date(context.clock.now()).toISOString()
    const entry: JournalEntry = {
      ...{ id, address, held, step: 'drained', original: target.value, release },
      ...{ session: lease.session, holder, at },
    }
    if (target.owner === id) return (await readOwn(drains, address, id, context)) ?? entry
    if (target.down || target.owner !== undefined) {
      throw refusal(
        address,
        'it is already drained, by a person or another run, and that drain is left alone',
      )
    }
    const value = drainedValue(target.value, id)
    if (value === undefined) throw refusal(address, 'its value would become too long for nginx-upsync')
    const all = [...nodes.values()]
    const place = all.indexOf(target)
    const others = [...all.slice(place + 1), ...all.slice(0, place)].filter(({ down }) => !down)
    const counted = await guard(others)
    lease.assertHeld()
    const operations: KvOperation[] = [
      lease.check,
      { verb: 'cas', key: target.key, value, index: target.modifyIndex },
      { verb: 'cas', key: keys.journal(address), value: JSON.stringify(entry), index: 0 },
      ...counted.map(({ key, modifyIndex }) => ({ verb: 'check-index', key, index: modifyIndex }) as const),
    ]
    const conflicts = await attemptTransaction(drains, operations, context)
    if (conflicts?.length === 0) return entry
    if (conflicts?.some(({ index }) => index === 2)) {
      const known = await readOwn(drains, address, id, context)
      if (known === undefined)
        throw refusal(address, 'the journal in Consul has an entry of another drain for it')
    }
    changed = conflicts?.map(({ what }) => what).join('; ') ?? 'no answer'
    await context.clock.sleep(RETRY_PAUSE_MS, context.signal)
  }
  throw new Failure(`${address} could not be drained: the upstream changes all the time`, { seen: changed })
}

/** Notes how far a drained node has got. Fails when the lease is lost, so it also fences what comes after it. */
export async function noteStep(
  drains: Drains,
  entry: JournalEntry,
  step: JournalStep,
  change: { held?: boolean } | { release: string; unit: string },
  context: Context,
): Promise<JournalEntry> {
  const key = ownKeys(drains.upstream).journal(entry.address)
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const next = { ...entry, ...change, step, session: drains.lease.session, holder: drains.holder }
    const operations: KvOperation[] = [drains.lease.check, { verb: 'set', key, value: JSON.stringify(next) }]
    const conflicts = await attemptTransaction(drains, operations, context)
    if (conflicts?.length === 0) {
      drains.lease.assertHeld()
      return next
    }
    await context.clock.sleep(RETRY_PAUSE_MS, context.signal)
  }
  throw new Failure(`the journal entry of ${entry.address} could not be written`)
}

/**
 * Puts one node back: its value becomes what it was before the drain, unless somebody else has changed it meanwhile.
 * `release` notes what the node now runs; '' that it is not known.
 */
export async function undrainNode(
  drains: Drains,
  entry: JournalEntry,
  { release }: { release?: string },
  context: Context,
): Promise<void> {
  const { client, upstream, lease } = drains
  const { address, id, original } = entry
  const keys = ownKeys(upstream)
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const target = await readEntry(client, `${upstream}/${address}`, context)
    const restored = target?.value === original
    const drained = target?.value === drainedValue(original, id)
    const own = await readOwn(drains, address, id, context)
    if (restored && own === undefined) return
    const operations: KvOperation[] = [lease.check]
    if (drained && target)
      operations.push({ verb: 'cas', key: target.key, value: original, index: target.modifyIndex })
    if (own) operations.push({ verb: 'delete', key: keys.journal(address) })
    const releaseKey = keys.release(address)
    if (release === '') operations.push({ verb: 'delete', key: releaseKey })
    else if (release !== undefined) operations.push({ verb: 'set', key: releaseKey, value: release })
    lease.assertHeld()
    const conflicts = await attemptTransaction(drains, operations, context)
    if (conflicts?.length === 0) {
      if (drained || restored) return
      throw new Failure(`${address} was changed by somebody else while it was drained`, {
        seen: target === undefined ? 'its key has gone' : target.value,
        state: 'its value was left as it is.',
        hint: `see whether it should serve; before the drain its value was ${original}`,
      })
    }
    await context.clock.sleep(RETRY_PAUSE_MS, context.signal)
  }
  throw new Failure(`${address} could not be put back: its key changes all the time`)
}

/** Undefined when it is not known whether the transaction was done. */
async function attemptTransaction(
  { client, lease }: Drains,
  operations: readonly KvOperation[],
  context: Context,
): Promise<Conflict[] | undefined> {
  try {
    const conflicts = await transact(client, operations, context)
    if (!conflicts.some(({ index }) => index === 0)) return conflicts
    await lease.retake()
    return undefined
  } catch (error) {
    if (error instanceof AmbiguousAnswer) return undefined
    throw error
  }
}

async function readOwn(
  { client, upstream }: Drains,
  address: string,
  id: string,
  context: Context,
): Promise<JournalEntry | undefined> {
  const text = (await readEntry(client, ownKeys(upstream).journal(address), context))?.value
  const entry = text === undefined ? undefined : parseJournalEntry(text)
  return entry?.id === id ? entry : undefined
}

function refusal(address: string, seen: string): Failure {
  return new Failure(`${address} is not drained`, { seen, state: 'this node was not touched.' })
}
