import { describe, expect, test } from 'vitest'
import {
  editsTo,
  holdSets,
  type IdRecord,
  isHalfway,
  type Listing,
  recordsOf,
} from '../../src/dns/providers/records-by-id.ts'
import type { RecordSet } from '../../src/dns/record.ts'

const record = (id: string, value: string, more: Partial<IdRecord> = {}): IdRecord => ({
  id,
  name: 'www.example.com',
  type: 'A',
  value,
  ttl: 60,
  ...more,
})
const set = (values: string[], ttl = 60): RecordSet => ({ name: 'www.example.com', type: 'A', ttl, values })

test('records of one name and type are one set; what does not go together is an obstacle', () => {
  const sets = holdSets([
    record('1', 'a'),
    record('2', 'b', { name: 'api.example.com' }),
    record('3', 'c', { ttl: 300 }),
    record('4', 'd', { type: 'AAAA', autoTtl: true, proxied: false }),
  ])
  expect(sets.map((held) => held.set)).toEqual([
    { ...set(['a', 'c'], 300), obstacle: 'has values with different TTLs' },
    { ...set(['b']), name: 'api.example.com' },
    { ...set(['d']), type: 'AAAA', proxied: false, autoTtl: true },
  ])
})

describe('the edits to another set', () => {
  test.each([
    ['one for one', ['a'], ['b'], ['1 b'], [], []],
    ['what stays is not touched', ['a', 'b'], ['b', 'c'], ['1 c'], [], []],
    ['more', ['a'], ['b', 'c', 'd'], ['1 b'], ['c', 'd'], []],
    ['fewer', ['a', 'b', 'c'], ['d'], ['1 d'], [], ['2', '3']],
    ['fewer, and one stays', ['a', 'b', 'c'], ['b'], [], [], ['1', '3']],
    ['nothing to do', ['a', 'b'], ['b', 'a'], [], [], []],
  ])('%s', (_, from, to, changes, additions, surplus) => {
    const records = from.map((value, index) => record(String(index + 1), value))
    const edits = editsTo(records, set(to))
    expect(edits.changes.map((change) => `${change.record.id} ${change.value}`)).toEqual(changes)
    expect(edits.additions).toEqual(additions)
    expect(edits.surplus.map(({ id }) => id)).toEqual(surplus)
  })

  test('another TTL changes those that stay', () => {
    const edits = editsTo([record('1', 'a'), record('2', 'b')], set(['b', 'c'], 300))
    expect(edits.changes.map((change) => `${change.record.id} ${change.value}`)).toEqual(['2 b', '1 c'])
  })
})

describe('a set is halfway', () => {
  test.each([
    [['b', 'a2'], true],
    [['a', 'b2'], true],
    [['a', 'a2'], false],
    [['b', 'b2'], false],
    [['b'], false],
    [['a', 'b', 'a2'], false],
    [['a', 'x'], false],
    [['b', 'b'], false],
  ])('between a, a2 and b, b2: %j %s', (values, expected) => {
    const records = values.map((value, index) => record(String(index), value))
    expect(isHalfway(records, set(['a', 'a2']), set(['b', 'b2']))).toBe(expected)
  })

  test.each([
    [['b'], true],
    [['a', 'b'], true],
    [['a'], false],
    [['b', 'c'], false],
    [['a', 'b', 'c'], false],
  ])('between a and b, c: %j %s', (values, expected) => {
    const records = values.map((value, index) => record(String(index), value))
    expect(isHalfway(records, set(['a']), set(['b', 'c']))).toBe(expected)
  })

  test('one value for another is never halfway, whatever stands there', () => {
    for (const value of ['a', 'b', 'c'])
      expect(isHalfway([record('1', value)], set(['a']), set(['b']))).toBe(false)
  })

  test('where only some have the new TTL', () => {
    const records = [record('1', 'a', { ttl: 300 }), record('2', 'b')]
    expect(isHalfway(records, set(['a', 'b'], 300), set(['a', 'b'], 60))).toBe(true)
    expect(isHalfway(records, set(['a', 'b'], 300), set(['a', 'b'], 90))).toBe(false)
  })
})

describe('a listing', () => {
  const zone = (count: number) =>
    Array.from({ length: count }, (_, index) => record(`${index}`, 'a', { name: `n${index}` }))
  function listing(
    all: IdRecord[],
    pageSize: number,
    spoil: (page: IdRecord[], number: number) => IdRecord[] = (page) => page,
  ) {
    const calls: string[] = []
    const read: Listing<IdRecord>['read'] = async (page, name) => {
      calls.push(`${page} ${name ?? ''}`.trim())
      const found = name === undefined ? all : all.filter((one) => one.name === name)
      return {
        records: spoil(found.slice((page - 1) * pageSize, page * pageSize), page),
        total: found.length,
      }
    }
    return { calls, listing: { host: 'http://x', pageSize, read } }
  }

  test.each([
    ['one name', 5_000, ['n7'], ['1 n7']],
    ['two names of a small zone', 10, ['n7', 'n8'], ['1']],
    ['two names of a larger zone', 25, ['n7', 'n24'], ['1', '2', '3']],
    ['two names of a large zone', 45, ['n7', 'n44'], ['1', '1 n7', '1 n44']],
    ['no name', 10, [], []],
  ])('of %s takes the fewest calls', async (_, count, names, calls) => {
    const made = listing(zone(count), 10)
    expect((await recordsOf(made.listing, names)).map(({ name }) => name)).toEqual(names)
    expect(made.calls).toEqual(calls)
  })

  test.each([
    [
      'with a page that lacks some',
      (page: IdRecord[], number: number) => (number === 2 ? page.slice(1) : page),
    ],
    ['with an empty page', (page: IdRecord[], number: number) => (number === 2 ? [] : page)],
    ['with a page that comes twice', (_: IdRecord[], __: number) => zone(10)],
  ])('%s is an error', async (_, spoil) => {
    const made = listing(zone(25), 10, spoil)
    await expect(recordsOf(made.listing, ['n1', 'n24'])).rejects.toThrow('the list of records is not whole')
    expect(made.calls.length).toBeLessThan(5)
  })
})
