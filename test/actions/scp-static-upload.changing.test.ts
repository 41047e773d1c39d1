// A source folder that does not stay as it is while it is uploaded, or cannot be read.
import { randomBytes } from 'node:crypto'
import { appendFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startLine } from './static-line.ts'
import { StaticSite, treeOf } from './static-site.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())

const SIZE = 1_000_000

const changes: [what: string, change: (path: string) => void, message: RegExp][] = [
  ['goes', (path) => rmSync(path), /'z\.bin' changed while it was uploaded/],
  ['grows', (path) => appendFileSync(path, 'more'), /'z\.bin' changed while it was uploaded/],
  ['shrinks', (path) => truncateSync(path, SIZE - 1), /'z\.bin' changed while it was uploaded/],
  [
    'is written anew',
    (path) => writeFileSync(path, randomBytes(SIZE)),
    /the content that arrived is not the content that was sent/,
  ],
]

test.each(
  changes.flatMap(([what, change, message]) =>
    (['a first', 'a second'] as const).map((which) => [which, what, change, message] as const),
  ),
)('%s upload of a file that %s meanwhile fails, and can be done again', async (which, _what, change, message) => {
  const line = await startLine(sshd)
  const site = new StaticSite(sshd)
  onTestFinished(() => {
    line.close()
    site.remove()
  })
  if (which === 'a second') expectSuccess(await site.upload('r0'))
  // The line halts with more before the last file than any buffer holds: it has been hashed then, and not been sent.
  site.write({ 'a.bin': randomBytes(16_000_000), 'z.bin': randomBytes(SIZE) })
  line.haltAfter(1_000_000)
  const run = startAction({ ...site.uploadOptions('r1', line.inputs), debug: true })
  await Promise.all([line.halted(), run.waitForLog(/all \d+ files have been read and hashed/)])
  change(join(site.source, 'z.bin'))
  line.resume()
  const result = await run.result
  expectFailure(result, message)
  expect(site.current).toBe(which === 'a second' ? 'releases/r0' : undefined)
  expectSuccess(await site.upload('r1'))
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
})

test('a file that cannot be read is named, and nothing is served of the others', async () => {
  const site = new StaticSite(sshd)
  onTestFinished(() => site.remove())
  // Not even root may read it.
  const source = { source: '/sys/bus/cpu', exclude: 'devices\ndrivers\ndrivers_autoprobe\nuevent' }
  expectFailure(await site.upload('r1', source), /'drivers_probe' cannot be read/, /EACCES/)
  expect(site.current).toBeUndefined()
  expectSuccess(await site.upload('r2'))
})
