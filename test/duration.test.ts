import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDuration, parseDuration } from '../src/duration.ts'

test.each([
  ['500ms', 500],
  ['10s', 10_000],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['0s', 0],
  [' 007s\n', 7_000],
])('%j is %i ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each([
  '',
  '10',
  's',
  '-1s',
  '+1s',
  '1.5s',
  '1 s',
  '1S',
  '1d',
  '1m30s',
  '1e3ms',
  '0x1s',
  '9999999999s',
  '\u0661s',
])('%j is no duration', (text) => {
  expect(parseDuration(text)).toBeUndefined()
})

test.each([
  [0, '0 ms'],
  [850.4, '850 ms'],
  [1_000, '1.0 s'],
  [12_340, '12.3 s'],
  [59_940, '59.9 s'],
  [59_990, '1 min 00 s'],
  [245_000, '4 min 05 s'],
  [3_599_600, '1 h 00 min'],
  [3_720_000, '1 h 02 min'],
])('%d ms reads %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

test('no time reads as one with 60 seconds or minutes in it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 90_000_000 }), (ms) => {
      expect(formatDuration(ms)).not.toMatch(/\b60(\.\d)? (s|min)\b/)
    }),
  )
})
