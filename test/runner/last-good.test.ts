import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findLastGood } from '../../src/runner/deployments/last-good.ts'
import type { DeploymentRecord, Kind } from '../../src/runner/deployments/record.ts'

const shaOf = (version: string) => version.toLowerCase().charCodeAt(0).toString(16).padStart(40, '0')

/** `A B! C`: deployed one after the other, those with an exclamation mark failed. Newest first, as GitHub lists. */
function history(text: string, kind: Kind = 'static') {
  const records = text
    .split(' ')
    .filter(Boolean)
    .map((word, index) => ({
      good: !word.endsWith('!'),
      record: { id: index + 1, sha: shaOf(word), kind, release: word.replace('!', ''), snapshot: '' },
    }))
  const good = new Set(records.filter((one) => one.good).map(({ record }) => record.id))
  return { records: records.map(({ record }) => record).reverse(), good }
}

async function answer(text: string, current?: string, kind?: Kind) {
  const { records, good } = history(text, kind)
  const asked: number[] = []
  const found = await findLastGood(records, current, async ({ id }: DeploymentRecord) => {
    asked.push(id)
    return good.has(id)
  })
  return { release: found.chosen?.release, found, asked }
}

describe('the last good version', () => {
  test.each([
    ['', undefined],
    ['A', undefined],
    ['A B', 'A'],
    ['A B C', 'B'],
    ['A B! C', 'A'],
    ['A B C!', 'A'],
    ['A! B! C!', undefined],
    ['A! B', undefined],
    ['A B B', 'A'],
  ])('after %s is %s', async (text, expected) => {
    expect((await answer(text)).release).toBe(expected)
  })

  test.each([
    ['A B C', 'B', 'deployed'],
    ['A B C B', 'A', 'rolled back once'],
    ['A B C B A', undefined, 'rolled back twice'],
    ['A B C A', undefined, 'rolled back by two'],
    ['A B C B C', 'B', 'the version that was left was brought back by its name'],
    ['A B C B A C', 'A', 'the same after two rollbacks'],
    ['A B C B D', 'B', 'a new one after a rollback'],
    ['A B C B D B', 'A', 'and that one rolled back too'],
    ['A B C B D E', 'D', 'two new ones after a rollback'],
    ['A B C B!', 'B', 'a rollback that failed has left nothing'],
    ['A B C! B', 'A', 'B again after C had failed'],
  ])('after %s is %s: %s', async (text, expected, _why) => {
    expect((await answer(text)).release).toBe(expected)
  })

  test.each([
    ['A B C', 'C', 'B'],
    ['A B C', 'D', 'C'],
    ['A B C', 'B', 'A'],
    ['A B C B', 'B', 'A'],
    ['A B C', 'A', undefined],
    ['A B C D!', 'D', 'C'],
    ['A B C B', 'D', 'B'],
  ])('after %s, where %s runs, is %s', async (text, current, expected) => {
    expect((await answer(text, current)).release).toBe(expected)
  })

  test('is found by a commit id too', async () => {
    expect((await answer('A B C', shaOf('C'))).release).toBe('B')
  })

  test('of git is told apart by the commit: the same one built again is no other version', async () => {
    const records: DeploymentRecord[] = [
      { id: 3, sha: shaOf('B'), kind: 'git', release: 'b-run3', snapshot: '' },
      { id: 2, sha: shaOf('B'), kind: 'git', release: 'b-run2', snapshot: '' },
      { id: 1, sha: shaOf('A'), kind: 'git', release: 'a-run1', snapshot: '' },
    ]
    expect((await findLastGood(records, undefined, async () => true)).chosen?.id).toBe(1)
    const sites = records.map((record) => ({ ...record, kind: 'static' as const }))
    expect((await findLastGood(sites, undefined, async () => true)).chosen?.id).toBe(2)
  })

  test('tells what was left', async () => {
    expect((await answer('A B C B')).found).toMatchObject({ current: 'B', left: ['C'] })
  })

  test('asks for no more histories than it needs', async () => {
    expect((await answer('A B C D E F')).asked).toEqual([6, 5])
    expect((await answer('A B C D!', 'D')).asked).toEqual([4, 3])
  })

  test('rolled back again and again ends at the first, whatever had been deployed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('A', 'B', 'C', 'D', 'B!', 'D!'), { maxLength: 9 }),
        async (words) => {
          const gone = new Set<string | undefined>()
          for (let text = words.join(' '); ; ) {
            const { release, found } = await answer(text)
            if (release === undefined) return
            expect(release).not.toBe(found.current)
            gone.add(found.current)
            expect(gone).not.toContain(release)
            text = `${text} ${release}`
          }
        },
      ),
    )
  })
})
