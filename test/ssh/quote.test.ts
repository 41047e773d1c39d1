import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { quote, quoteAll } from '../../src/ssh/quote.ts'

test('a shell reads back exactly what was quoted, whatever it holds', () => {
  const anything = fc
    .string({ unit: 'binary' })
    .filter((text) => !text.includes('\0') && Buffer.from(text).toString() === text)
  fc.assert(
    fc.property(fc.array(anything, { minLength: 1, maxLength: 20 }), (args) => {
      const script = `for one in ${quoteAll(args)}; do printf '%s\\0' "$one"; done`
      const read = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1)
      expect(read).toEqual(args)
    }),
    { numRuns: 100 },
  )
})

test.each([
  "'",
  '$(id)',
  '`id`',
  '\n',
  '-rf',
  '"',
  '\\',
  '!',
  '*',
  '',
  ' ',
  "a'b'c",
  '~root',
  'é😀',
])('a hostile argument stays one argument: %j', (argument) => {
  const read = execFileSync('sh', ['-c', `printf %s ${quote(argument)}`], { encoding: 'utf8' })
  expect(read).toBe(argument)
})

test('an argument with a NUL byte is refused, since the kernel would cut it', () => {
  expect(() => quote('a\0b')).toThrow(/NUL/)
})
