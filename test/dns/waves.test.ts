import { expect, test } from 'vitest'
import { wavesOf } from '../../src/dns/waves.ts'

const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`)

test.each([
  [1, 1, [1]],
  [2, 1, [1, 1]],
  [10, 1, [1, 2, 4, 3]],
  [10, 3, [3, 6, 1]],
  [3, 3, [3]],
  [3, 9, [3]],
  [7, 0, [7]],
  [0, 1, []],
  [0, 0, []],
  [500, 1, [1, 2, 4, 8, 16, 32, 64, 128, 245]],
])('%i names with a canary of %i', (count, canary, sizes) => {
  const waves = wavesOf(names(count), canary)
  expect(waves.map(({ length }) => length)).toEqual(sizes)
  expect(waves.flat()).toEqual(names(count))
})
