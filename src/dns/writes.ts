import { type Context, throwIfCancelled } from '../context.ts'
import { describeError } from '../failure.ts'
import type { Provider, Zone } from './provider.ts'
import { formatValues, isSameSet, type RecordSet, sameValues } from './record.ts'

/** One write, noted before it is made. */
export interface Write {
  readonly before: RecordSet
  readonly after: RecordSet
}

/** Whether it changes no value. */
export const isTtlOnly = ({ before, after }: Write) => sameValues(before.values, after.values)

/**
 * Makes one write. A cancel stops it before and while it waits (for a provider that is too busy), not in the middle: a
 * request broken off may still be carried out, after the settle step has looked.
 */
export async function makeWrite(
  provider: Provider,
  zone: Zone,
  write: Write,
  context: Context,
): Promise<void> {
  throwIfCancelled(context.signal)
  const { before, after } = write
  const { clock, signal } = context
  const sleep = (ms: number) => clock.sleep(ms, signal)
  const uncut = { ...context, clock: { ...clock, sleep }, signal: new AbortController().signal }
  await provider.writeRecordSet(zone, before, after, uncut)
}

/** A line on a write, for people. */
export function describeWrite(write: Write): string {
  const { before, after } = write
  const { name, type } = after
  if (isTtlOnly(write)) return `${name} ${type}: TTL ${before.ttl} s -> ${after.ttl} s`
  const ttl = before.ttl === after.ttl ? '' : ` (TTL ${before.ttl} s -> ${after.ttl} s)`
  return `${name} ${type}: ${formatValues(before.values)} -> ${formatValues(after.values)}${ttl}`
}

export type Standing = 'new' | 'old' | 'reverted' | 'other' | 'unknown'

/** Where a record set stands after a flip that did not come to its end. */
export interface StandingRecord {
  readonly write: Write
  readonly standing: Standing
  /** What else there is to say. */
  readonly note?: string
}

async function readOne(provider: Provider, zone: Zone, { name, type }: RecordSet, context: Context) {
  return (await provider.readRecordSets(zone, [name], context)).find((set) => set.type === type)
}

/** Reads where each write stands. Rejects only when cancelled. */
export async function standingOf(
  provider: Provider,
  zone: Zone,
  writes: readonly Write[],
  context: Context,
): Promise<StandingRecord[]> {
  const found: StandingRecord[] = []
  for (const write of writes) {
    try {
      found.push(standing(write, await readOne(provider, zone, write.after, context)))
    } catch (error) {
      context.signal.throwIfAborted()
      found.push({ write, standing: 'unknown', note: describeError(error) })
    }
  }
  return found
}

function standing(write: Write, current: RecordSet | undefined): StandingRecord {
  const { before, after } = write
  if (current === undefined) return { write, standing: 'other', note: 'it is not there' }
  if (isSameSet(current, after)) return { write, standing: 'new' }
  const isOld = isTtlOnly(write) ? isSameSet(current, before) : sameValues(current.values, before.values)
  if (isOld) return { write, standing: 'old' }
  return { write, standing: 'other', note: `it is ${formatValues(current.values)}, TTL ${current.ttl} s` }
}

/**
 * Writes back what was there, the last write first, and only where the record still holds what was written.
 * Never stops at one that fails.
 */
export async function revertWrites(
  provider: Provider,
  zone: Zone,
  writes: readonly Write[],
  context: Context,
): Promise<StandingRecord[]> {
  const results: StandingRecord[] = []
  for (const write of [...writes].reverse()) {
    try {
      await makeWrite(provider, zone, { before: write.after, after: write.before }, context)
      const value = isTtlOnly(write) ? `TTL ${write.before.ttl} s` : formatValues(write.before.values)
      context.log.info(`${write.before.name} ${write.before.type}: back to ${value}`)
      results.unshift({ write, standing: 'reverted' })
    } catch (error) {
      throwIfCancelled(context.signal)
      const [now] = await standingOf(provider, zone, [write], context)
      const stayed = now?.standing === 'old' || now?.standing === 'other' ? now : undefined
      results.unshift(stayed ?? { write, standing: 'unknown', note: describeError(error) })
    }
  }
  return results
}

const MEANING: Readonly<Record<Standing, string>> = {
  new: 'holds the new value',
  old: 'holds the old value',
  reverted: 'is back at the old value',
  other: 'was changed by somebody else and left alone',
  unknown: 'could not be read or written: look at it',
}

/** A line per record, for people. */
export function describeStanding({ write, standing: state, note }: StandingRecord): string {
  const { before, after } = write
  const set = state === 'new' ? after : before
  const value = isTtlOnly(write) ? `TTL ${set.ttl} s` : formatValues(set.values)
  const shown = state === 'other' || state === 'unknown' ? '' : ` (${value})`
  return `${before.name} ${before.type} ${MEANING[state]}${shown}${note ? ` (${note.replaceAll('\n', ' ')})` : ''}`
}
