import { expect, test } from 'vitest'
import { makePlan } from '../../src/dns/plan.ts'
import { parseRecordLines } from '../../src/dns/record-lines.ts'
import { parsePrepared, parseSnapshot, takeSnapshot } from '../../src/dns/snapshot.ts'

const zone = 'example.com'
const { changes } = parseRecordLines(
  ['www A 192.0.2.1 -> 192.0.2.2', 'api A 192.0.2.1 -> 192.0.2.2', 'six AAAA 2001:db8::1 -> 2001:db8::1'],
  zone,
)
const observed = new Map(
  [
    { name: 'www.example.com', type: 'A', ttl: 60, values: ['192.0.2.1'] },
    { name: 'api.example.com', type: 'A', ttl: 300, values: ['192.0.2.2'] },
    { name: 'six.example.com', type: 'AAAA', ttl: 300, values: ['2001:db8::1'] },
  ].map((set) => [set.name, [set]] as const),
)

test('holds what earlier runs have written too, nothing that stays, and comes back as the opposite changes', () => {
  const plan = makePlan(changes, observed, zone)
  expect(plan.steps.map(({ verdict }) => verdict)).toEqual(['write', 'done', 'done'])
  expect(parseSnapshot(JSON.stringify(takeSnapshot(zone, plan.steps)), zone)).toEqual([
    { name: 'www.example.com', type: 'A', from: ['192.0.2.2'], to: ['192.0.2.1'], ttl: 60 },
    { name: 'api.example.com', type: 'A', from: ['192.0.2.2'], to: ['192.0.2.1'], ttl: 300 },
  ])
})

const record = { name: 'www.example.com', type: 'A', ttl: 60, values: ['192.0.2.1'], written: ['192.0.2.2'] }
test.each([
  ['another zone', { zone: 'example.org' }],
  ['another version', { version: 2 }],
  ['no list', { records: {} }],
  ['a name outside of the zone', { records: [{ ...record, name: 'www.example.org' }] }],
  ['a name that is none', { records: [{ ...record, name: 'www\n.example.com' }] }],
  ['a type that is never written', { records: [{ ...record, type: 'NS' }] }],
  ['a TTL that is none', { records: [{ ...record, ttl: '60' }] }],
  ['a negative TTL', { records: [{ ...record, ttl: -1 }] }],
  ['a value that is none', { records: [{ ...record, values: ['::1'] }] }],
  ['no values', { records: [{ ...record, written: [] }] }],
  ['values that are no list', { records: [{ ...record, values: '192.0.2.1' }] }],
  ['a record that is none', { records: [null] }],
  ['a record twice', { records: [record, record] }],
])('refuses %s', (_, part) => {
  expect(parseSnapshot(JSON.stringify({ version: 1, zone, records: [record], ...part }), zone)).toEqual(
    expect.any(String),
  )
})

const prepared = { ttl: 30, safeFrom: '2026-01-02T03:04:05.678Z' }
const ofPrepare = (part: object) => JSON.stringify({ version: 1, zone, records: [record], ...part })

test('one of a preparation says what TTLs were brought down to, and from when a flip is safe', () => {
  expect(parsePrepared(ofPrepare({ prepared }), zone)).toMatchObject({
    ttl: 30,
    safeFrom: Date.parse(prepared.safeFrom),
    records: [{ name: 'www.example.com', ttl: 60 }],
  })
  expect(parsePrepared(ofPrepare({ prepared: { ttl: 30 } }), zone)).toMatchObject({ safeFrom: undefined })
})

test('a flip of what was prepared keeps the TTL from before in its own snapshot', () => {
  const earlier = parsePrepared(ofPrepare({ prepared: { ...prepared, ttl: 5 } }), zone)
  if (typeof earlier === 'string') throw new Error(earlier)
  const at = (ttl: number) => {
    const now = new Map(observed).set('www.example.com', [
      { name: 'www.example.com', type: 'A', ttl, values: ['192.0.2.1'] },
    ])
    return takeSnapshot(zone, makePlan(changes, now, zone).steps, earlier).records[0]?.ttl
  }
  expect(at(5)).toBe(60)
  // Somebody has changed it since.
  expect(at(7)).toBe(7)
})

test.each([
  ['a flip', {}],
  ['a preparation of another zone', { prepared, zone: 'example.org' }],
  ['no records', { prepared, records: null }],
  ['a TTL that is none', { prepared: { ...prepared, ttl: '30' } }],
  ['a negative TTL', { prepared: { ...prepared, ttl: -30 } }],
  ['a time that is none', { prepared: { ...prepared, safeFrom: 'now' } }],
  ['a time of another form', { prepared: { ...prepared, safeFrom: 'Fri, 02 Jan 2026' } }],
  ['a time that no calendar has', { prepared: { ...prepared, safeFrom: '2026-13-02T03:04:05.678Z' } }],
  ['a number as time', { prepared: { ...prepared, safeFrom: 0 } }],
])('as a preparation, refuses one of %s', (_, part) => {
  expect(parsePrepared(ofPrepare(part), zone)).toEqual(expect.any(String))
})
