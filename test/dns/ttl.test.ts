import { expect, test } from 'vitest'
import { makePlan } from '../../src/dns/plan.ts'
import type { RecordSet } from '../../src/dns/record.ts'
import { parseRecordLines } from '../../src/dns/record-lines.ts'
import type { Prepared } from '../../src/dns/snapshot.ts'
import { flipSafeFrom, ttlRestores } from '../../src/dns/ttl.ts'

const zone = 'example.com'
const name = `www.${zone}`
const PROVEN = 1_000_000
const DAY = 86_400

const { changes } = parseRecordLines(['www A 192.0.2.1 -> 192.0.2.2'], zone)
const at = (ttl: number, more: Partial<RecordSet> = {}): RecordSet => ({
  name,
  type: 'A',
  ttl,
  values: ['192.0.2.1'],
  ...more,
})
const stepsFor = (set: RecordSet, ttl = 60, phase: 'flip' | 'prepare' = 'prepare') =>
  makePlan(changes, new Map([[name, [set]]]), zone, { phase, ttl }).steps
const earlier = (ttl: number, safeFrom: number | undefined, before = 3_600): Prepared => ({
  ttl,
  safeFrom,
  records: [{ name, type: 'A', from: ['192.0.2.2'], to: ['192.0.2.1'], ttl: before }],
})

test.each<[string, RecordSet, Prepared | undefined, number]>([
  ['written now: the TTL it had', at(300), undefined, PROVEN + 300_000],
  ['lower than asked for, so no run has lowered it', at(30), undefined, PROVEN + 30_000],
  ['just as low, since who knows when', at(60), undefined, PROVEN + DAY * 1_000],
  ['known to an earlier run', at(60), earlier(60, 5_000_000), 5_000_000],
  ['safe long ago', at(60), earlier(60, 5), PROVEN],
  ['an earlier run that has no time', at(60), earlier(60, undefined), PROVEN + 3_600_000],
  ['lowered further before it was safe', at(90), earlier(90, 50_000_000), 50_000_000],
  ['lowered further after it was safe', at(90), earlier(90, 5), PROVEN + 90_000],
  ['raised since an earlier run', at(300), earlier(60, 5), PROVEN + 300_000],
  ['proxied', at(60, { proxied: true }), undefined, PROVEN],
])('a flip is safe from: %s', (_, set, known, wanted) => {
  expect(flipSafeFrom({ steps: stepsFor(set), ttl: 60, earlier: known }, PROVEN)).toBe(wanted)
})

test.each<[string, RecordSet, number | undefined]>([
  ['what was lowered', at(60, { values: ['192.0.2.2'] }), 3_600],
  ['nothing that is back already', at(3_600, { values: ['192.0.2.2'] }), undefined],
  ['nothing that somebody else has changed', at(90, { values: ['192.0.2.2'] }), undefined],
  ['nothing that is proxied', at(60, { proxied: true }), undefined],
])('brings back %s', (_, set, wanted) => {
  const [write] = ttlRestores(stepsFor(set, 3_600, 'flip'), earlier(60, 5))
  expect(write?.after.ttl).toBe(wanted)
})

test('brings nothing back where nothing was prepared', () => {
  expect(ttlRestores(stepsFor(at(60), 60, 'flip'), undefined)).toEqual([])
})
