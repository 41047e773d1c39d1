import { isWithin, parseDomain } from './domain-name.ts'
import type { PlannedChange } from './plan.ts'
import {
  isRecordType,
  parseValue,
  type RecordChange,
  type RecordSet,
  type RecordType,
  sameValues,
} from './record.ts'

/** What a run replaces, so that a later run can bring it back. Holds no secrets. */
export interface Snapshot {
  readonly version: 1
  readonly zone: string
  readonly records: readonly SnapshotRecord[]
  /** Of `phase: prepare`. */
  readonly prepared?: {
    /** Seconds, what it brings TTLs down to. */
    readonly ttl: number
    /** ISO 8601; not there before it has come to its end. */
    readonly safeFrom?: string
  }
}

export interface SnapshotRecord {
  readonly name: string
  readonly type: RecordType
  /** Seconds, before the flip, and before its preparation. */
  readonly ttl: number
  /** Before the flip. */
  readonly values: readonly string[]
  /** What the flip writes: only that is ever replaced by `values` again. */
  readonly written: readonly string[]
}

/** What a run of `phase: prepare` did, as a later run reads it. */
export interface Prepared {
  /** Seconds, what it brought TTLs down to. */
  readonly ttl: number
  /** Milliseconds since 1970; undefined when it did not come to its end. */
  readonly safeFrom: number | undefined
  readonly records: readonly RecordChange[]
}

/** Seconds that a record set had before it was prepared; those it has where it was not, or was changed since. */
export function originalTtl(prepared: Prepared | undefined, current: RecordSet): number {
  if (prepared === undefined || current.ttl !== prepared.ttl) return current.ttl
  const isIt = ({ name, type }: RecordChange) => name === current.name && type === current.type
  return prepared.records.find(isIt)?.ttl ?? current.ttl
}

const MAX_RECORDS = 500
const MAX_TTL = 2_147_483_647

/** Of everything a run is about, what an earlier run has written already included. */
export function takeSnapshot(zone: string, steps: readonly PlannedChange[], earlier?: Prepared): Snapshot {
  const records = steps
    .filter(({ change }) => !sameValues(change.from, change.to))
    .map(({ change: { name, type, from, to }, current }) => ({
      name,
      type,
      ttl: originalTtl(earlier, current),
      values: from,
      written: to,
    }))
  return { version: 1, zone, records }
}

/** Reads a snapshot, which may come from anywhere; returns what is wrong with it as text. */
export function parseSnapshot(text: string, zone: string): readonly RecordChange[] | string {
  const read = readSnapshot(text, zone)
  return typeof read === 'string' ? read : read.records
}

/** Reads the snapshot of a preparation, which may come from anywhere; returns what is wrong with it as text. */
export function parsePrepared(text: string, zone: string): Prepared | string {
  const read = readSnapshot(text, zone)
  if (typeof read === 'string') return read
  const { ttl, safeFrom } = (read.prepared ?? {}) as Record<string, unknown>
  if (!isTtl(ttl)) return 'is no snapshot of a run with `phase: prepare`'
  if (safeFrom === undefined) return { ttl, safeFrom, records: read.records }
  const time = typeof safeFrom === 'string' && ISO_TIME.test(safeFrom) ? Date.parse(safeFrom) : Number.NaN
  return Number.isNaN(time)
    ? 'says no time from which a flip is safe: give the whole output `snapshot` of the run with `phase: prepare`'
    : { ttl, safeFrom: time, records: read.records }
}

/** As `Date.toISOString` writes it. */
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const isTtl = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_TTL

function readSnapshot(text: string, zone: string): { records: RecordChange[]; prepared: unknown } | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'is not JSON: give the output `snapshot` of an earlier run'
  }
  const { version, zone: own, records, prepared } = (value ?? {}) as Record<string, unknown>
  if (version !== 1 || !Array.isArray(records) || records.length > MAX_RECORDS) {
    return 'is not a snapshot: give the output `snapshot` of an earlier run'
  }
  if (own !== zone) return `is one of another zone than ${zone}`
  const changes: RecordChange[] = []
  for (const [index, record] of records.entries()) {
    const change = parseRecord(record, zone)
    if (change === undefined)
      return `holds a record (number ${index + 1}) that no flip of ${zone} has written`
    if (changes.some(({ name, type }) => name === change.name && type === change.type)) {
      return `holds ${change.name} ${change.type} twice`
    }
    changes.push(change)
  }
  return { records: changes, prepared }
}

function parseRecord(record: unknown, zone: string): RecordChange | undefined {
  const { name, type, ttl, values, written } = (record ?? {}) as Record<string, unknown>
  const domain = typeof name === 'string' ? parseDomain(name) : undefined
  if (domain === undefined || domain !== name || !isWithin(domain, zone) || !isRecordType(type))
    return undefined
  if (!isTtl(ttl)) return undefined
  const to = parseValues(type, values)
  const from = parseValues(type, written)
  return from && to && { name, type, from, to, ttl }
}

function parseValues(type: RecordType, values: unknown): string[] | undefined {
  if (!Array.isArray(values) || values.length === 0 || values.length > 32) return undefined
  const parsed = values.map((value) => (typeof value === 'string' ? parseValue(type, value) : undefined))
  return parsed.every((value) => value !== undefined) ? parsed : undefined
}
