// For APIs that keep each value of a record set as a record with an id of its own, and list them in pages.
import { Failure } from '../../failure.ts'
import type { RecordSet } from '../record.ts'
import type { Held } from './in-place.ts'

export interface IdRecord {
  readonly id: string
  /** Lower case, absolute, without the final dot. */
  readonly name: string
  readonly type: string
  /** In its canonical form, for types that are written. */
  readonly value: string
  /** Seconds, as it is served. */
  readonly ttl: number
  readonly autoTtl?: true
  readonly proxied?: boolean
  /** Why this record must not be written, to complete "it ...". */
  readonly obstacle?: string | undefined
}

export interface HeldRecords<R extends IdRecord> extends Held {
  readonly records: readonly R[]
}

/** The records as record sets, in the order in which their first one came. */
export function holdSets<R extends IdRecord>(records: readonly R[]): HeldRecords<R>[] {
  const byKey = new Map<string, R[]>()
  for (const record of records) {
    const key = `${record.name} ${record.type}`
    byKey.set(key, [...(byKey.get(key) ?? []), record])
  }
  return [...byKey.values()].map((of) => ({ set: setOf(of), records: of }))
}

function setOf(records: readonly IdRecord[]): RecordSet {
  const [{ name, type, ttl, proxied }] = records as [IdRecord]
  const mixed = records.some((other) => other.ttl !== ttl) ? 'has values with different TTLs' : undefined
  const obstacle = records.map((record) => record.obstacle).find((one) => one !== undefined) ?? mixed
  return {
    name,
    type,
    ttl: Math.max(...records.map((record) => record.ttl)),
    values: records.map(({ value }) => value),
    ...(proxied === undefined ? {} : { proxied }),
    ...(records.every(({ autoTtl }) => autoTtl) ? { autoTtl: true } : {}),
    ...(obstacle === undefined ? {} : { obstacle }),
  }
}

/** What turns the records of a set into another one, by id: never a moment without the set. */
export interface Edits<R extends IdRecord> {
  readonly changes: readonly { readonly record: R; readonly value: string }[]
  /** Values for which there is no record to be changed. */
  readonly additions: readonly string[]
  /** To be deleted, after everything else. */
  readonly surplus: readonly R[]
}

export function editsTo<R extends IdRecord>(records: readonly R[], next: RecordSet): Edits<R> {
  const kept = records.filter(({ value }) => next.values.includes(value))
  const free = records.filter((record) => !kept.includes(record))
  const missing = next.values.filter((value) => !kept.some((record) => record.value === value))
  return {
    changes: [
      ...kept.filter(({ ttl }) => ttl !== next.ttl).map((record) => ({ record, value: record.value })),
      ...free.slice(0, missing.length).map((record, index) => ({ record, value: missing[index] ?? '' })),
    ],
    additions: missing.slice(free.length),
    surplus: free.slice(missing.length),
  }
}

/**
 * Whether records stand somewhere on the way from one set to the other: where a write of one record after the other was
 * broken off.
 */
export function isHalfway(records: readonly IdRecord[], a: RecordSet, b: RecordSet): boolean {
  const [least, most] = [a.values.length, b.values.length].sort((x, y) => x - y) as [number, number]
  const ours = new Set([...a.values, ...b.values])
  const values = new Set(records.map(({ value }) => value))
  const isEnd = ({ values: wanted, ttl }: RecordSet) =>
    records.every((record) => record.ttl === ttl && wanted.includes(record.value)) &&
    wanted.length === values.size
  return (
    records.every(({ ttl, value }) => ours.has(value) && [a.ttl, b.ttl].includes(ttl)) &&
    values.size === records.length &&
    records.length >= least &&
    records.length <= most &&
    !isEnd(a) &&
    !isEnd(b)
  )
}

export interface Page<R extends IdRecord> {
  readonly records: readonly R[]
  /** How many there are on all pages. */
  readonly total: number
  /** What the API says of further pages; undefined where it says nothing. */
  readonly isLast?: boolean
}

export interface Listing<R extends IdRecord> {
  /** For errors. */
  readonly host: string
  /** Records on a page, of which only the last may have fewer. */
  readonly pageSize: number
  /** A page of the records of one name, or of the whole zone; the first is 1. */
  read(page: number, name?: string): Promise<Page<R>>
}

/** All records of these names, of every type, by the way that takes fewer calls: a name each, or the whole zone. */
export async function recordsOf<R extends IdRecord>(
  listing: Listing<R>,
  names: readonly string[],
): Promise<R[]> {
  if (names.length > 1) {
    const first = await listing.read(1)
    const more = Math.ceil(first.total / listing.pageSize) - 1
    if (more <= names.length) {
      const all = await allPages(listing, undefined, first)
      return all.filter(({ name }) => names.includes(name))
    }
  }
  const found: R[] = []
  for (const name of names) {
    const records = await allPages(listing, name, await listing.read(1, name))
    found.push(...records.filter((record) => record.name === name))
  }
  return found
}

/** A listing that is not whole would be taken for the truth: for a record that is not there, or has one value. */
async function allPages<R extends IdRecord>(
  { host, read }: Listing<R>,
  name: string | undefined,
  first: Page<R>,
): Promise<R[]> {
  const byId = new Map<string, R>()
  let count = 0
  for (let page = first, number = 1; ; page = await read(++number, name)) {
    count += page.records.length
    for (const record of page.records) byId.set(record.id, record)
    const isWhole = byId.size === page.total && count === page.total && page.isLast !== false
    if (isWhole) return [...byId.values()]
    if (page.records.length === 0 || count >= page.total || page.isLast === true) {
      throw new Failure('the list of records is not whole', {
        host,
        seen: `${byId.size} records on ${number} pages, of which there should be ${page.total}`,
        hint: 'somebody may have changed the zone while it was read, or a proxy may cut answers short: run the job again',
      })
    }
  }
}
