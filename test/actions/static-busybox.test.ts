// A server with nothing but busybox: its shell and tools, no flock, no zstd, no perl.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { findProgram } from '../bed/packages.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { farSite } from './static-far.ts'
import { StaticSite, treeOf } from './static-site.ts'

let sshd: Sshd
let applets: string

beforeAll(async () => {
  applets = mkdtempSync(join(tmpdir(), 'evenkeel-busybox-'))
  const { path } = findProgram('busybox')
  for (const applet of execFileSync(path, ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    writeFileSync(join(applets, applet), `#!/bin/sh\nexec ${path} ${applet} "$@"\n`, { mode: 0o755 })
  }
  sshd = await startSshd({ env: { PATH: applets } })
})
afterAll(async () => {
  await sshd?.stop()
  rmSync(applets, { recursive: true, force: true })
})

function newSite(): StaticSite {
  const site = new StaticSite(sshd, { 'index.html': 'one', 'a/b.txt': 'b', '-x': 'dash', 'new\nline': 'n' })
  onTestFinished(() => site.remove())
  return site
}

test('uploads, links, goes back and prunes', async () => {
  const site = newSite()
  expectSuccess(await site.upload('r1', { 'keep-releases': '1' }))
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  for (const release of ['r2', 'r3']) {
    rmSync(join(site.source, 'new\nline'), { force: true })
    site.write({ 'index.html': release, [`only-in-${release}`]: '', big: 'compressible '.repeat(50_000) })
    const result = await site.upload(release, { 'keep-releases': '1' })
    expectSuccess(result)
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  }
  expect(site.releases).toEqual(['r2', 'r3'])
  expectSuccess(await site.rollback())
  expect(site.served('index.html')).toBe('r2')
})

test('goes by content where a command changed the release before', async () => {
  const site = newSite()
  const hook = 'cp index.html copy.html\nln -s index.html link\nrm ./-x\necho TXT >new && mv new a/b.txt'
  expectSuccess(await site.upload('r1', { 'before-activate': hook }))
  site.write({ 'index.html': 'two' })
  expectSuccess(await site.upload('r2'))
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
})

test('in place', async () => {
  const site = newSite()
  const inPlace = { mode: 'in-place', delete: 'true' }
  expectSuccess(await site.upload('r1', inPlace))
  rmSync(join(site.source, 'a'), { recursive: true })
  site.write({ 'index.html': 'two', a: 'a file now' })
  const before = site.placed
  expectFailure(await site.upload('r2', { ...inPlace, 'after-activate': 'false' }), /serves release r1/)
  expect(site.placed).toEqual(before)
  expectFailure(await site.upload('r2', { ...inPlace, 'before-activate': 'false' }), /exit code 1/)
  const taken = await site.upload('r2', { ...inPlace, verify: 'full' })
  expectSuccess(taken)
  expect(taken.outputs['files-sent']).toBe('0')
  expect(site.placed).toEqual(site.toBePlaced)
})

test.each([
  ['gzip', 5, 3, { 'words.txt': 'the same words again and again. '.repeat(1_000_000) }],
  ['none', 35, 6, { 'large.bin': randomBytes(70_000_000), 'a/other.bin': randomBytes(20_000_000) }],
] as const)('a large upload: %s', async (codec, oneWayMs, lanes, files) => {
  const { site, way } = await farSite(oneWayMs, { env: { PATH: applets } })
  site.write(files)
  const result = await site.upload('r1', way)
  expectSuccess(result)
  expect(result.log).toContain(`(${codec}, ${lanes} lanes) in`)
  expect(result.log.split('its tar is not GNU tar')).toHaveLength(2)
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
})

test('without flock, the lock still keeps a second upload out and goes with its process', async () => {
  const site = newSite()
  const held = `${site.source}.held`
  onTestFinished(() => rmSync(held, { force: true }))
  writeFileSync(held, '')
  const hook = { 'before-activate': `while [ -e ${held} ]; do sleep 1; done` }
  const first = site.startUpload('r1', hook)
  await first.waitForLog(/release r1 is complete/)
  expectFailure(await site.upload('r2'), /another deploy of this site is at work/)
  await first.lostRunner()
  await until('the lock is free', async () => (await site.upload('r2')).conclusion === 'success')
  expect(site.current).toBe('releases/r2')
})
