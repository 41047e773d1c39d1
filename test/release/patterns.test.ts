import { expect, test } from 'vitest'
import { effectiveMode, parseModeChange } from '../../src/release/file-mode.ts'
import { pathMatcher } from '../../src/release/glob.ts'
import { toByteString } from '../../src/ssh/byte-string.ts'

test.each([
  ['*.map', 'a/b.map', true],
  ['*.map', 'a.map/b', false],
  ['.git', '.git', true],
  ['.git', 'sub/.git', true],
  ['node_modules/', 'node_modules', true],
  ['/top.txt', 'top.txt', true],
  ['/top.txt', 'sub/top.txt', false],
  ['docs/**', 'docs/a/b', true],
  ['docs/*', 'docs/a/b', false],
  ['docs/**', 'docs/new\nline', true],
  ['assets/**/*.js', 'assets/x.js', true],
  ['{a,b}/*.txt', 'b/x.txt', true],
  ['!keep', 'other', false],
  ['ü-*.txt', 'x/ü-🚀.txt', true],
])('%s and %s: %s', (glob, path, expected) => {
  expect(pathMatcher([glob])(toByteString(path))).toBe(expected)
})

test.each([
  ['644', 0o777, false, 0o644],
  ['0640', 0o777, true, 0o750],
  ['600', 0o644, true, 0o700],
  ['u=rwX,go=rX', 0o600, false, 0o644],
  ['u=rwX,go=rX', 0o700, false, 0o755],
  ['u=rwX,go=rX', 0o700, true, 0o755],
  ['a+r', 0o600, false, 0o644],
  ['go-rwx', 0o755, true, 0o700],
  ['+x', 0o644, false, 0o755],
  ['a=', 0o644, true, 0o700],
  ['a=', 0o644, false, 0o400],
])('chmod %s of %i', (text, mode, isFolder, expected) => {
  expect(effectiveMode(mode, isFolder, parseModeChange(text))).toBe(expected)
})

test.each(['99', '7777', 'u=rwz', 'rw', '644 755', 'u+s'])('%s is no mode', (text) => {
  expect(parseModeChange(text)).toBeUndefined()
})
