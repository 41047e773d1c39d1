import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRecordLines } from '../../src/dns/record-lines.ts'

const parse = (...lines: string[]) => parseRecordLines(lines, 'example.com')
const change = (line: string) => parse(line).changes[0]

describe('names', () => {
  test.each([
    ['www', 'www.example.com'],
    ['WWW.Example.com.', 'www.example.com'],
    ['www.example.com', 'www.example.com'],
    ['a.b', 'a.b.example.com'],
    ['@', 'example.com'],
    ['example.com', 'example.com'],
    ['notexample.com', 'notexample.com.example.com'],
    ['_x', '_x.example.com'],
  ])('%s is %s', (written, name) => {
    expect(change(`${written} A 192.0.2.1 -> 192.0.2.2`)?.name).toBe(name)
  })

  test.each([
    'www.example.org.',
    '-a',
    'a..b',
    'ü',
    '\u212a',
    `${'a'.repeat(64)}`,
    '$(id)',
    'a/b',
    "a'b",
    '::set-output',
    '*',
    '*.x',
  ])('%s is refused', (name) => {
    const { changes, problems } = parse(`${name} A 192.0.2.1 -> 192.0.2.2`)
    expect(changes).toEqual([])
    expect(problems).toHaveLength(1)
  })
})

describe('values', () => {
  test('several, with and without blanks, in any way an address is written', () => {
    expect(change('www A 192.0.2.1,192.0.2.3 -> 192.0.2.2 , 192.0.2.4')).toMatchObject({
      from: ['192.0.2.1', '192.0.2.3'],
      to: ['192.0.2.2', '192.0.2.4'],
    })
    expect(change('www aaaa 2001:DB8:0:0::1->2001:db8::0002')).toMatchObject({
      type: 'AAAA',
      from: ['2001:db8::1'],
      to: ['2001:db8::2'],
    })
    expect(change('www CNAME Old.Example.net. -> new.example.net')).toMatchObject({
      from: ['old.example.net'],
      to: ['new.example.net'],
    })
  })

  test.each([
    'www A 192.0.2.1 -> 192.0.2.256',
    'www A 192.0.2.1 -> 192.0.2.02',
    'www A 192.0.2.1 -> 3221225986',
    'www A 192.0.2.1 -> 0.0.0.0',
    'www A 192.0.2.1 -> 255.255.255.255',
    'www A 192.0.2.1 -> 2001:db8::1',
    'www AAAA 2001:db8::1 -> fe80::1%eth0',
    'www AAAA 2001:db8::1 -> ::',
    'www A 192.0.2.1,192.0.2.1 -> 192.0.2.2',
    'www A 192.0.2.1, -> 192.0.2.2',
    'www CNAME a.example.net -> b.example.net, c.example.net',
    'www CNAME a.example.net -> localhost',
    'www CNAME a.example.net -> 192.0.2.1',
    'www CNAME a.example.net -> www.example.com',
    'www MX 10 -> 20',
    'www ALIAS a.example.net -> b.example.net',
    'www A 192.0.2.1 192.0.2.2',
    'www A 192.0.2.1 -> 192.0.2.2 -> 192.0.2.3',
    'www A -> 192.0.2.2',
    'www 192.0.2.1 -> 192.0.2.2',
  ])('%s is refused', (line) => {
    expect(parse(line)).toMatchObject({ changes: [], problems: [expect.any(String)] })
  })
})

test('lines that cannot be meant together are refused', () => {
  const twice = parse('www A 192.0.2.1 -> 192.0.2.2', 'www.example.com. A 192.0.2.1 -> 192.0.2.3')
  expect(twice.problems).toEqual(['www.example.com A stands there twice'])
  const both = parse('www A 192.0.2.1 -> 192.0.2.2', 'www CNAME a.example.net -> b.example.net')
  expect(both.problems).toEqual(['www.example.com cannot have a CNAME and addresses'])
})

test('whatever the text, a change that is made holds clean names and values only', () => {
  const pieces = fc.constantFrom(
    'www',
    '@',
    'A',
    'CNAME',
    '192.0.2.1',
    ' ',
    ',',
    '->',
    '\n',
    '\0',
    '${{',
    '.',
    '-',
    'é',
    '::',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(pieces, fc.string()), { maxLength: 12 }), (parts) => {
      for (const { name, from, to } of parse(parts.join('')).changes) {
        expect(name).toMatch(/^[a-z0-9_.-]+$/)
        for (const value of [...from, ...to]) expect(value).toMatch(/^[a-z0-9_.:-]+$/)
      }
    }),
  )
})
