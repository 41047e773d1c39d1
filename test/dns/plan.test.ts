import { describe, expect, test } from 'vitest'
import { type Aim, makePlan } from '../../src/dns/plan.ts'
import type { RecordSet } from '../../src/dns/record.ts'
import { parseRecordLines } from '../../src/dns/record-lines.ts'

const zone = 'example.com'
const www = (type: string, ...values: string[]): RecordSet => ({
  name: `www.${zone}`,
  type,
  ttl: 300,
  values,
})

function plan(lines: string[], ...sets: RecordSet[]) {
  const observed = new Map<string, RecordSet[]>()
  for (const set of sets) observed.set(set.name, [...(observed.get(set.name) ?? []), set])
  const { steps, problems } = makePlan(parseRecordLines(lines, zone).changes, observed, zone)
  return problems.length > 0
    ? problems.map(({ what }) => what).join()
    : steps.map(({ verdict }) => verdict).join()
}

const line = 'www A 192.0.2.1 -> 192.0.2.2'

test.each<[string, string[], RecordSet[], string | RegExp]>([
  ['the old value', [line], [www('A', '192.0.2.1')], 'write'],
  ['the new value', [line], [www('A', '192.0.2.2')], 'done'],
  [
    'the old values in another order',
    ['www A 192.0.2.1,192.0.2.3 -> 192.0.2.2'],
    [www('A', '192.0.2.3', '192.0.2.1')],
    'write',
  ],
  [
    'a delegation above',
    ['a.www A 192.0.2.1 -> 192.0.2.2'],
    [{ ...www('A', '192.0.2.1'), name: 'a.www.example.com' }, www('NS', 'ns.elsewhere.test.')],
    /www\.example\.com is delegated to name servers of its own/,
  ],
  ['another value', [line], [www('A', '192.0.2.9')], /neither the old .* nor the new/],
  ['fewer values', ['www A 192.0.2.1,192.0.2.3 -> 192.0.2.2'], [www('A', '192.0.2.1')], /neither the old/],
  [
    'old and new together',
    [line],
    [www('A', '192.0.2.1', '192.0.2.2')],
    /more values than expected \(192\.0\.2\.2\)/,
  ],
  ['nothing', [line], [], /never made/],
  ['only the other family', [line], [www('AAAA', '2001:db8::1')], /the name has AAAA only/],
  ['an alias', [line], [www('ALIAS', 'x.example.net.')], /type ALIAS, which is not changed/],
  ['a Lua record beside it', [line], [www('A', '192.0.2.1'), www('LUA', 'A "x"')], /type LUA beside it/],
  [
    'a locked record',
    [line],
    [{ ...www('A', '192.0.2.1'), obstacle: 'is locked' }],
    /is locked: it is left alone/,
  ],
  [
    'an AAAA beside it',
    [line],
    [www('A', '192.0.2.1'), www('AAAA', '2001:db8::1')],
    /leaves AAAA 2001:db8::1 behind/,
  ],
  [
    'an AAAA that is flipped too',
    [line, 'www AAAA 2001:db8::1 -> 2001:db8::2'],
    [www('A', '192.0.2.1'), www('AAAA', '2001:db8::1')],
    'write,write',
  ],
  [
    'an AAAA that is said to stay',
    [line, 'www AAAA 2001:db8::2 -> 2001:db8::2'],
    [www('A', '192.0.2.1'), www('AAAA', '2001:db8::2')],
    'write,done',
  ],
  [
    'a hint at the old machine',
    [line],
    [www('A', '192.0.2.1'), www('HTTPS', '1 . ipv4hint=192.0.2.9,192.0.2.1')],
    /leaves an HTTPS/,
  ],
  [
    'an IPv6 hint at the old machine, written in another way',
    ['www AAAA 2001:db8::1 -> 2001:db8::2'],
    [www('AAAA', '2001:db8::1'), www('HTTPS', '1 . alpn="h2,h3" ipv6hint="2001:DB8:0::0001"')],
    /leaves an HTTPS/,
  ],
  [
    'a hint in an SVCB record',
    [line],
    [www('A', '192.0.2.1'), www('SVCB', '1 . port=8443 ipv4hint=192.0.2.1')],
    /leaves an HTTPS/,
  ],
  [
    'a hint at what stays',
    [line, 'www AAAA 2001:db8::2 -> 2001:db8::2'],
    [www('A', '192.0.2.1'), www('AAAA', '2001:db8::2'), www('HTTPS', '1 . ipv6hint=2001:db8::2')],
    'write,done',
  ],
  ['a hint at another', [line], [www('A', '192.0.2.1'), www('HTTPS', '1 . ipv4hint=192.0.2.11')], 'write'],
])('%s', (_, lines, sets, wanted) => {
  if (typeof wanted === 'string') expect(plan(lines, ...sets)).toBe(wanted)
  else expect(plan(lines, ...sets)).toMatch(wanted)
})

describe('with a TTL', () => {
  const next = (aim: Aim, set: RecordSet, lines = [line]) => {
    const observed = new Map([[set.name, [set]]])
    const { steps, problems } = makePlan(parseRecordLines(lines, zone).changes, observed, zone, aim)
    return problems[0]?.what ?? { ...steps[0]?.next, verdict: steps[0]?.verdict }
  }
  const prepare: Aim = { phase: 'prepare', ttl: 60 }
  const flip: Aim = { phase: 'flip', ttl: 60 }
  const old = www('A', '192.0.2.1')

  test.each<[string, RecordSet, object]>([
    ['brings a higher one down', old, { ttl: 60, values: ['192.0.2.1'], verdict: 'write' }],
    ['leaves a lower one', { ...old, ttl: 30 }, { ttl: 30, verdict: 'done' }],
    ['is for what is new already, too', www('A', '192.0.2.2'), { ttl: 60, values: ['192.0.2.2'] }],
    ['leaves a proxied one', { ...old, proxied: true }, { ttl: 300, verdict: 'done' }],
  ])('prepare %s', (_, set, wanted) => {
    expect(next(prepare, set)).toMatchObject(wanted)
  })

  test('prepare leaves what is to stay', () => {
    const stays = ['www A 192.0.2.1 -> 192.0.2.1']
    expect(next(prepare, old, stays)).toMatchObject({ ttl: 300, verdict: 'done' })
  })

  test.each<[string, RecordSet, object | string]>([
    ['refuses a higher one', old, 'has a TTL of 300 s, above `ttl` (60 s)'],
    ['goes on with a lower one', { ...old, ttl: 30 }, { ttl: 30, values: ['192.0.2.2'], verdict: 'write' }],
    ['leaves what is new already', www('A', '192.0.2.2'), { ttl: 300, verdict: 'done' }],
    ['goes on with a proxied one', { ...old, proxied: true }, { ttl: 300, verdict: 'write' }],
  ])('flip %s', (_, set, wanted) => {
    if (typeof wanted === 'string') expect(next(flip, set)).toContain(wanted)
    else expect(next(flip, set)).toMatchObject(wanted)
  })

  test('a snapshot brings back the TTL of what has its values again', () => {
    const [change] = parseRecordLines([line], zone).changes
    if (change === undefined) throw new Error('no change')
    const set = www('A', '192.0.2.2')
    const observed = new Map([[set.name, [set]]])
    const { steps } = makePlan([{ ...change, ttl: 3_600 }], observed, zone)
    expect(steps).toMatchObject([{ verdict: 'write', next: { ttl: 3_600, values: ['192.0.2.2'] } }])
  })
})
