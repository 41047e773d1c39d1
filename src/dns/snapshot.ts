import { isWithin, parseDomain } from './domain-name.ts'
import type { PlannedChange } from './plan.ts'
import { isRecordType, parseValue, type RecordChange, type RecordType, sameValues } from './record.ts'

/** What a flip replaces, so that a later run can bring it back. Holds no secrets. */
export interface Snapshot {
  readonly version: 1
  readonly zone: string
  readonly records: readonly SnapshotRecord[]
}

export interface SnapshotRecord {
  readonly name: string
  readonly type: RecordType
  /** Seconds, before the flip. */
  readonly ttl: number
  /** Before the flip. */
  readonly values: readonly string[]
  /** What the flip writes: only that is ever replaced by `values` again. */
  readonly written: readonly string[]
}

const MAX_RECORDS = 500
const MAX_TTL = 2_147_483_647

/** Of everything a run is about, what an earlier run has written already included. */
export function takeSnapshot(zone: string, steps: readonly PlannedChange[]): Snapshot {
  const records = steps
    .filter(({ change }) => !sameValues(change.from, change.to))
    .map(({ change: { name, type, from, to }, current: { ttl } }) => ({
      name,
      type,
      ttl,
      values: from,
      written: to,
    }))
  return { version: 1, zone, records }
}

/** Reads a snapshot, which may come from anywhere; returns what is wrong with it as text. */
export function parseSnapshot(text: string, zone: string): readonly RecordChange[] | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'is not JSON: give the output `snapshot` of an earlier run'
  }
  const { version, zone: own, records } = (value ?? {}) as Record<string, unknown>
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
  return changes
}

function parseRecord(record: unknown, zone: string): RecordChange | undefined {
  const { name, type, ttl, values, written } = (record ?? {}) as Record<string, unknown>
  const domain = typeof name === 'string' ? parseDomain(name) : undefined
  if (domain === undefined || domain !== name || !isWithin(domain, zone) || !isRecordType(type))
    return undefined
  if (!Number.isInteger(ttl) || Number(ttl) < 0 || Number(ttl) > MAX_TTL) return undefined
  const to = parseValues(type, values)
  const from = parseValues(type, written)
  return from && to && { name, type, from, to, ttl: Number(ttl) }
}

function parseValues(type: RecordType, values: unknown): string[] | undefined {
  if (!Array.isArray(values) || values.length === 0 || values.length > 32) return undefined
  const parsed = values.map((value) => (typeof value === 'string' ? parseValue(type, value) : undefined))
  return parsed.every((value) => value !== undefined) ? parsed : undefined
}
