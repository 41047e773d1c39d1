// What the log of a job tells of an upload on its way.
import { randomBytes } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { expectSuccess } from '../harness/input-cases.ts'
import { startLine } from './static-line.ts'
import { siteOn } from './static-servers.ts'

/** More than a channel and the sockets on its way hold. */
const large = Object.fromEntries(
  Array.from({ length: 40 }, (_, at) => [`image-${at}.jpg`, randomBytes(300_000)]),
)
const LINE =
  /uploading: (\d+) of 40 files, [\d.]+ [KM]?B of 12\.0 MB, [\d.]+ [KM]?B\/s on the wire, about \d[\d.]* ?(ms|s|m|h)\b.* left$/

test.each([
  ['a shell', []],
  ['SFTP alone', ['ForceCommand internal-sftp']],
])('through %s: a line every few seconds, none for what is soon done', async (_, config) => {
  const site = await siteOn({ config }, large)
  const line = await startLine(site.sshd)
  onTestFinished(() => line.close())
  line.haltAfter(1_000_000)
  const run = site.startUpload('r1', line.inputs)
  await line.halted()
  await run.waitForLog(/uploading: /)
  line.resume()
  const slow = await run.result
  expectSuccess(slow)
  const lines = slow.log.split('\n').filter((one) => one.includes('uploading: '))
  for (const one of lines) expect(one).toMatch(LINE)
  expect(lines.length).toBeLessThan(10)
  expect(Number(LINE.exec(lines[0] ?? '')?.[1])).toBeLessThan(40)
  site.write({ 'index.html': 'one' })
  const fast = await site.upload('r2')
  expectSuccess(fast)
  expect(fast.log).not.toContain('uploading: ')
})
