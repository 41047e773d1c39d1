import type { Context } from '../context.ts'
import { describeError } from '../failure.ts'
import { type Provider, RecordChanged, type Zone } from './provider.ts'
import { formatValues, type RecordSet, sameValues } from './record.ts'

/** One write of a flip, noted before it is made. */
export interface Write {
  readonly before: RecordSet
  readonly after: RecordSet
}

export type Standing = 'new' | 'old' | 'reverted' | 'other' | 'unknown'

/** Where a record set stands after a flip that did not come to its end. */
export interface StandingRecord {
  readonly write: Write
  readonly standing: Standing
  /** What else there is to say. */
  readonly note?: string
}

const isSet = (a: RecordSet | undefined, b: RecordSet) => a !== undefined && sameValues(a.values, b.values)

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
  if (isSet(current, write.after)) return { write, standing: 'new' }
  if (isSet(current, write.before)) return { write, standing: 'old' }
  return { write, standing: 'other', note: `it is ${formatValues(current?.values ?? [])}` }
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
    const { before, after } = write
    const [now] = await standingOf(provider, zone, [write], context)
    if (now === undefined || now.standing !== 'new') {
      results.unshift(now ?? { write, standing: 'unknown' })
      continue
    }
    try {
      await provider.writeRecordSet(zone, after, before, context)
      context.log.info(`${before.name} ${before.type}: back to ${formatValues(before.values)}`)
      results.unshift({ write, standing: 'reverted' })
    } catch (error) {
      const changed = error instanceof RecordChanged
      results.unshift({ write, standing: changed ? 'other' : 'unknown', note: describeError(error) })
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
export function describeStanding({
  write: { before, after },
  standing: state,
  note,
}: StandingRecord): string {
  const values = state === 'new' ? after.values : before.values
  const shown = state === 'other' || state === 'unknown' ? '' : ` (${formatValues(values)})`
  return `${before.name} ${before.type} ${MEANING[state]}${shown}${note ? ` (${note.replaceAll('\n', ' ')})` : ''}`
}
