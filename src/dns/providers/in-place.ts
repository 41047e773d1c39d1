import { Failure } from '../../failure.ts'
import { RecordChanged } from '../provider.ts'
import { NoAnswer } from '../provider-api.ts'
import { formatValues, isSameSet, type RecordSet } from '../record.ts'

/** A record set as an API gives it, with what a write needs to know of it. */
export interface Held {
  readonly set: RecordSet
}

/** One record set behind an API that has no compare-and-swap. */
export interface InPlace<H extends Held> {
  /** For errors. */
  readonly host: string
  read(): Promise<H | undefined>
  /** Throws `NoAnswer` where it is not known whether it was carried out. `check` is for a write that had to wait. */
  write(held: H, check: () => Promise<void>): Promise<void>
  /** Whether what is there may be replaced; default: it is what was expected, and nothing stands in the way. */
  readonly mayReplace?: (held: H) => boolean
}

/**
 * Reads, compares, writes once and reads back: a write whose answer was lost counts when it is seen to be carried out.
 * Throws `RecordChanged` when the set is not `expected`, or does not hold what was written.
 */
export async function writeInPlace<H extends Held>(
  {
    host,
    read,
    write,
    mayReplace = ({ set }) => set.obstacle === undefined && isSameSet(set, expected),
  }: InPlace<H>,
  expected: RecordSet,
  next: RecordSet,
): Promise<void> {
  const { name, type } = next
  const readExpected = async () => {
    const held = await read()
    if (held !== undefined && mayReplace(held)) return held
    throw new RecordChanged(`${name} ${type} was changed by somebody else`, {
      host,
      seen: `it is ${describeSet(held?.set)}, not ${describeSet(expected)}`,
    })
  }
  const before = await readExpected()
  let lost: NoAnswer | undefined
  try {
    await write(before, async () => void (await readExpected()))
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error
    lost = error
  }
  const after = (await read())?.set
  if (after !== undefined && isSameSet(after, next)) return
  if (lost) {
    const seen = `${lost.details.seen}\n  ${name} ${type} is ${describeSet(after)} now`
    throw new Failure(lost.message, { ...lost.details, seen, cause: lost })
  }
  throw new RecordChanged(`${name} ${type} does not hold what was written`, {
    host,
    seen: `it is ${describeSet(after)}, not ${describeSet(next)}`,
  })
}

export const describeSet = (set: RecordSet | undefined): string =>
  set === undefined
    ? 'not there'
    : `${formatValues(set.values)} (${set.proxied ? 'proxied' : `TTL ${set.ttl}`}${set.obstacle ? `; it ${set.obstacle}` : ''})`
