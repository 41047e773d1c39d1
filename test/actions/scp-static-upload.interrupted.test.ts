import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { until } from '../bed/process.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type Gate, type GatedSshd, startGatedSshd } from './static-gates.ts'
import { type Line, startLine } from './static-line.ts'
import { siteOn } from './static-servers.ts'
import { StaticSite, treeOf } from './static-site.ts'

let gated: GatedSshd

beforeAll(async () => {
  gated = await startGatedSshd()
})
afterAll(() => gated?.stop())

/** A site whose release `old` is served, with other files waiting to be uploaded. */
async function siteWithUpdate(): Promise<StaticSite> {
  const site = new StaticSite(gated.sshd, { 'index.html': 'old', 'a/one.txt': 'one', 'gone.txt': 'gone' })
  onTestFinished(() => site.remove())
  expectSuccess(await site.upload('old'))
  site.write({ 'index.html': 'new', 'b/two.txt': 'two' })
  return site
}

const GATES: Gate[] = ['cp', 'tar', 'sha256sum', 'mv']

describe.each(GATES)('stopped at %s', (gate) => {
  async function stoppedUpload(site: StaticSite) {
    gated.close(gate)
    const run = site.startUpload('new')
    try {
      await gated.reached(gate)
    } catch (error) {
      await run.lostRunner().catch(() => {})
      throw new Error(`${(error as Error).message}\n${run.log}`)
    }
    return run
  }

  test('kill -9: the old release is served, and the same upload succeeds afterwards', async () => {
    const site = await siteWithUpdate()
    onTestFinished(() => gated.open(gate))
    const run = await stoppedUpload(site)
    run.kill9()
    const result = await run.result
    gated.open(gate)
    expect(result.conclusion).toBe('failure')
    expect(result.log).toContain('serves release old')
    expect(site.served('index.html')).toBe('old')
    expectSuccess(await site.upload('new'))
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  })

  test('cancel: the site is wholly old, or wholly new when it was at the swap; the lock is free', async () => {
    const site = await siteWithUpdate()
    onTestFinished(() => gated.open(gate))
    const run = await stoppedUpload(site)
    const cancelled = run.cancel()
    // The swap is not broken off: it comes to its end.
    if (gate === 'mv') gated.open(gate)
    const result = await cancelled
    gated.open(gate)
    expect(result.conclusion).toBe('cancelled')
    expect(result.steps[0]?.sent).toEqual(['SIGINT'])
    expect(site.served('index.html')).toBe(gate === 'mv' ? 'new' : 'old')
    if (gate !== 'mv') expect(result.log).toContain('serves release old')
    expectSuccess(await site.upload('new'))
    expect(site.served('index.html')).toBe('new')
  })

  test('a lost runner: the next run of another release finds nothing in its way', async () => {
    const site = await siteWithUpdate()
    onTestFinished(() => gated.open(gate))
    const run = await stoppedUpload(site)
    await run.lostRunner()
    expect(site.served('index.html')).toBe('old')
    gated.open(gate)
    expectSuccess(await site.upload('newer', { 'lock-wait': '10s' }))
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
    expect(readdirSync(join(site.target, 'releases/.evenkeel/staging'))).toEqual([])
    expect(readdirSync(site.target).sort()).toEqual(['current', 'releases'])
  })
})

describe('after the swap', () => {
  const waitForEver = (site: StaticSite) => `touch ${site.target}/hook-runs; sleep 600`
  const hookRuns = (site: StaticSite) =>
    until('the hook runs', () => existsSync(join(site.target, 'hook-runs')))

  test('kill -9 before it is confirmed: the settle step goes back', async () => {
    const site = await siteWithUpdate()
    const run = site.startUpload('new', { 'after-activate': waitForEver(site) })
    await hookRuns(site)
    expect(site.served('index.html')).toBe('new')
    run.kill9()
    const result = await run.result
    expect(result.log).toContain('serves release old')
    expect(site.current).toBe('releases/old')
  })

  test('cancel: goes back at once', async () => {
    const site = await siteWithUpdate()
    const run = site.startUpload('new', { 'after-activate': waitForEver(site) })
    await hookRuns(site)
    const result = await run.cancel()
    expect(result.conclusion).toBe('cancelled')
    expect(site.current).toBe('releases/old')
    expect(result.steps[0]?.sent).toEqual(['SIGINT'])
  })

  test('a lost runner: the next run says so and goes back before it does anything else', async () => {
    const site = await siteWithUpdate()
    const run = site.startUpload('new', { 'after-activate': waitForEver(site) })
    await hookRuns(site)
    await run.lostRunner()
    expect(site.current).toBe('releases/new')
    const next = await site.upload('bad', { 'before-activate': 'exit 3', 'lock-wait': '10s' })
    expectFailure(next, /`before-activate` ended with exit code 3/)
    expect(next.log).toContain('an earlier run died while it activated a release')
    expect(site.current).toBe('releases/old')
    expectSuccess(await site.upload('new'))
    expect(site.current).toBe('releases/new')
  })
})

test('an upload that was cut off is taken up: what has arrived is not sent again', async () => {
  const site = new StaticSite(gated.sshd, {})
  onTestFinished(() => {
    site.remove()
    gated.open('sha256sum')
  })
  site.write(Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`page-${at}.html`, `page ${at}`])))
  gated.close('sha256sum')
  const run = site.startUpload('r1')
  await gated.reached('sha256sum')
  run.kill9()
  await run.result
  gated.open('sha256sum')
  const result = await site.upload('r1')
  expectSuccess(result)
  expect(result.log).toContain('taking up an unfinished upload')
  expect(result.outputs['files-sent']).toBe('0')
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
})

test('killed while it takes over the release before: none of that is missing afterwards', async () => {
  const bin = mkdtempSync(join(tmpdir(), 'evenkeel-bin-'))
  const stop = join(bin, 'stop')
  // It comes to one file, and goes with the shell that started it.
  const script = `#!/bin/sh
PATH=\${PATH#*:}
[ -e ${stop} ] || exec cp "$@"
for last do :; done
echo old >"$last/index.html"
kill -s KILL "$PPID"
`
  writeFileSync(join(bin, 'cp'), script, { mode: 0o755 })
  onTestFinished(() => rmSync(bin, { recursive: true }))
  const site = await siteOn({ path: [bin] }, { 'index.html': 'old', 'assets/old.js': 'old' })
  const keep = { 'keep-assets': 'assets/**' }
  expectSuccess(await site.upload('old', keep))
  rmSync(join(site.source, 'assets'), { recursive: true })
  site.write({ 'index.html': 'new', 'assets/new.js': 'new' })
  writeFileSync(stop, '')
  expect((await site.upload('new', keep)).conclusion).toBe('failure')
  expect(readdirSync(join(site.target, 'releases/.evenkeel/staging'))).toHaveLength(1)
  rmSync(stop)
  expectSuccess(await site.upload('new', keep))
  expect(['assets/old.js', 'assets/new.js'].map((path) => site.served(path))).toEqual(['old', 'new'])
})

test('a second upload is refused with the name of the first, or waits for it', async () => {
  const site = await siteWithUpdate()
  onTestFinished(() => gated.open('tar'))
  gated.close('tar')
  const first = site.startUpload('first')
  await gated.reached('tar')
  const refused = await site.upload('second')
  expectFailure(
    refused,
    /another deploy of this site is at work/,
    'https://github.com/octo-org/site/actions/runs/',
  )
  const waiting = site.startUpload('second', { 'lock-wait': '30s' })
  await waiting.waitForLog(/waiting for the lock, held by https/)
  gated.open('tar')
  expectSuccess(await first.result)
  expectSuccess(await waiting.result)
  expect(site.current).toBe('releases/second')
})

describe('the connection is cut', () => {
  async function newLine(): Promise<Line> {
    const line = await startLine(gated.sshd)
    onTestFinished(() => line.close())
    return line
  }

  test.each(
    GATES,
  )('at %s: the old release is served, and the same upload succeeds afterwards', async (gate) => {
    const site = await siteWithUpdate()
    onTestFinished(() => gated.open(gate))
    const line = await newLine()
    gated.close(gate)
    const run = site.startUpload('new', line.inputs)
    await gated.reached(gate)
    line.cut()
    const result = await run.result
    expectFailure(result, /127\.0\.0\.1:\d+: /)
    expect(site.served('index.html')).toBe('old')
    gated.open(gate)
    expectSuccess(await site.upload('new', { 'lock-wait': '20s' }))
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  })

  test.each([
    ['without a look at it, it stands', {}, 'new'],
    ['with one to come, the settle step goes back', { 'health-command': 'true' }, 'old'],
  ])('at the swap: %s, and the log tells', async (_, health, served) => {
    const site = await siteWithUpdate()
    onTestFinished(() => gated.open('swapped'))
    const line = await newLine()
    gated.close('swapped')
    const run = site.startUpload('new', { ...line.inputs, ...health })
    await gated.reached('swapped')
    line.cut()
    const result = await run.result
    expectFailure(result, /the settle step sees to it/)
    expect(result.log).toContain(`serves release ${served}`)
    expect(site.served('index.html')).toBe(served)
  })

  test('after the swap: the settle step goes back', async () => {
    const site = await siteWithUpdate()
    const line = await newLine()
    const marker = join(site.target, 'hook-runs')
    const run = site.startUpload('new', { ...line.inputs, 'after-activate': `touch ${marker}; sleep 600` })
    await until('the hook runs', () => existsSync(marker))
    expect(site.served('index.html')).toBe('new')
    line.cut()
    const result = await run.result
    expectFailure(result, /could not be taken back/)
    expect(result.log).toContain('serves release old')
    expect(site.served('index.html')).toBe('old')
  })
})
