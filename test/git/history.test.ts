import { describe, expect, test } from 'vitest'
import { commitUp, type HistoryEntry, parseEntry, wayBack } from '../../src/git/history.ts'

const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(40)) as [
  string,
  string,
  string,
  string,
]

function entry(sha: string, result: HistoryEntry['result'], runs: string | null): HistoryEntry {
  const rest = { previous: null, at: '2026-01-01T00:00:00Z', durationMs: 1, actor: '', run: '', release: '' }
  return { sha, result, runs, commands: '', ...rest }
}

describe('the commit that is up, and the one to go back to', () => {
  test.each([
    ['nothing there', [], undefined, undefined, undefined],
    ['a checkout made by hand', [], a, a, a],
    ['the last good deploy', [entry(a, 'ok', a), entry(b, 'ok', b)], b, b, b],
    ['after a way back', [entry(a, 'ok', a), entry(b, 'failed', a)], a, a, a],
    ['a failed commit is never chosen', [entry(a, 'ok', a), entry(b, 'failed', null)], b, a, a],
    [
      'a good one that failed later neither',
      [entry(a, 'ok', a), entry(b, 'ok', b), entry(b, 'failed', null)],
      b,
      a,
      a,
    ],
    ['a failed one that came good', [entry(a, 'ok', a), entry(b, 'failed', a), entry(b, 'ok', b)], b, b, b],
    ['cut off in the middle', [entry(a, 'ok', a), entry(b, 'interrupted', null)], b, a, a],
    ['a person has been there since', [entry(a, 'ok', a)], d, d, d],
    ['deploying again what is up', [entry(a, 'ok', a), entry(c, 'ok', c)], c, c, a],
  ] as const)('%s', (_what, history, head, up, back) => {
    expect(commitUp(history, head)).toBe(up)
    expect(wayBack(history, head, c)).toBe(back)
  })
})

test('torn lines and lines of somebody else do not count', () => {
  expect(parseEntry('{"sha":"abc')).toBeUndefined()
  expect(parseEntry('{"sha":"$(id)"}')).toBeUndefined()
  expect(parseEntry('null')).toBeUndefined()
  expect(parseEntry(JSON.stringify(entry(a, 'ok', a)))).toMatchObject({ sha: a })
})
