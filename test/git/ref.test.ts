import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chooseCommit, parseLsRemote, parseRef } from '../../src/git/ref.ts'

const SHA = 'a'.repeat(40)

test('a full commit id is one, in any case; anything shorter is a name', () => {
  expect(parseRef(SHA.toUpperCase())).toEqual({ kind: 'sha', sha: SHA })
  expect(parseRef('b'.repeat(64))).toEqual({ kind: 'sha', sha: 'b'.repeat(64) })
  expect(parseRef('abc1234')).toEqual({ kind: 'name', name: 'abc1234' })
})

test('every name that is accepted is one to git too', () => {
  const characters = fc.constantFrom(...'ab1/.-@{}~^:?*[\\ "\'$`ü日\t\x7f', '..', '.lock', '@{', '//')
  fc.assert(
    fc.property(fc.array(characters, { minLength: 1, maxLength: 6 }), (parts) => {
      const name = parts.join('')
      const ref = parseRef(name)
      if (typeof ref === 'string') return
      execFileSync('git', ['check-ref-format', `refs/heads/${name}`])
      expect(name.startsWith('-')).toBe(false)
    }),
    { numRuns: 300 },
  )
})

test.each([
  '',
  ' ',
  '-x',
  'a b',
  'a..b',
  'a~1',
  'a^{}',
  'a:b',
  'x*',
  '[a',
  'a\\b',
  'a.lock',
  '.a',
  'a/',
  '@',
  'a@{1}',
])('%j is refused', (name) => {
  expect(typeof parseRef(name)).toBe('string')
})

test('an annotated tag is the commit that it stands for; only exact names count', () => {
  const text = `${'1'.repeat(40)}\trefs/tags/v1\n${'2'.repeat(40)}\trefs/tags/v1^{}\n${'3'.repeat(40)}\trefs/x/refs/heads/v1\nnoise\n`
  expect(chooseCommit('v1', parseLsRemote(text))).toEqual({ sha: '2'.repeat(40) })
  expect(chooseCommit('v2', parseLsRemote(text))).toMatch(/no branch or tag 'v2'/)
})
