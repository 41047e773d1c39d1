// Releases whose files are no longer those that were uploaded: by commands of the user's own, or by hand.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { decodeManifest, encodeManifest, makeManifest } from '../../src/release/manifest.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type GatedSshd, startGatedSshd } from './static-gates.ts'
import { type Files, StaticSite, treeOf } from './static-site.ts'

let gated: GatedSshd

beforeAll(async () => {
  gated = await startGatedSshd()
})
afterAll(() => gated?.stop())

function newSite(files?: Files): StaticSite {
  const site = new StaticSite(gated.sshd, files)
  onTestFinished(() => site.remove())
  return site
}

const servedTree = (site: StaticSite) => treeOf(join(site.target, 'current/'))

/** As if so much time had passed since the upload that left this list. */
function letPass(site: StaticSite, path: string, seconds: number): void {
  const file = join(site.target, path)
  const entries = [...decodeManifest(readFileSync(file), { host: '', path }).values()]
  const moved = entries.map((entry) => (entry.kept ? { ...entry, kept: entry.kept - seconds } : entry))
  expect(moved).not.toEqual(entries)
  writeFileSync(file, encodeManifest(makeManifest(moved)))
}

describe('by `before-activate`', () => {
  test('it makes a file, and the next one makes it anew', async () => {
    const site = newSite({ 'index.html': 'one', 'assets/a.js': 'a' })
    const once = 'set -C\nfor file in assets/*.js; do gzip -c "$file" >"$file.gz"; done'
    const hook = { 'before-activate': `gzip -kf *.html\n${once}`, 'keep-assets': 'assets/**' }
    expectSuccess(await site.upload('r1', hook))
    for (const release of ['r2', 'r3']) {
      site.write({ 'index.html': release })
      const result = await site.upload(release, hook)
      expectSuccess(result)
      expect(result.outputs['files-sent']).toBe('1')
      expect(site.current).toBe(`releases/${release}`)
    }
    site.write({ 'index.html': 'plain' })
    expectSuccess(await site.upload('r4'))
    expect(servedTree(site)).toEqual(treeOf(site.source))
  })

  test('it replaces a file by one of the same size', async () => {
    const site = newSite({ 'index.html': 'release __', 'other.html': 'other' })
    const hook = { 'before-activate': 'sed -i "s/__/$EVENKEEL_RELEASE/" index.html' }
    expectSuccess(await site.upload('r1', hook))
    expect(site.served('index.html')).toBe('release r1')
    site.write({ 'other.html': 'OTHER' })
    expectSuccess(await site.upload('r2', hook))
    expect(site.served('index.html')).toBe('release r2')
    // Another release was never touched by it, and is no less known for that.
    expect(readFileSync(join(site.target, 'releases/r1/index.html'), 'utf8')).toBe('release r1')
  })

  test('it makes links and folders, and takes files away', async () => {
    const site = newSite({ 'index.html': 'one', 'gone.html': 'gone', 'sub/page.html': 'page' })
    const hook = {
      'before-activate': 'ln -s index.html home.html\nmkdir cache\nln -s sub again\nrm gone.html',
    }
    expectSuccess(await site.upload('r1', hook))
    for (const release of ['r2', 'r3']) {
      site.write({ 'index.html': release })
      expectSuccess(await site.upload(release, hook))
      expect(site.served('home.html')).toBe(release)
    }
    site.write({ 'index.html': 'four' })
    expectSuccess(await site.upload('r4'))
    expect(servedTree(site)).toEqual(treeOf(site.source))
  })

  test('a dry run looks at the files as well, and changes nothing', async () => {
    const site = newSite({ 'index.html': 'one', 'other.html': '__' })
    const hook = { 'before-activate': 'sed -i s/__/==/ other.html' }
    expectSuccess(await site.upload('r1', hook))
    const before = treeOf(site.target)
    const result = await site.upload('r2', { 'dry-run': 'true' })
    expectSuccess(result)
    expect(result.log).toContain('files: 0 added, 1 changed, 0 removed, 1 unchanged')
    expect(treeOf(site.target)).toEqual(before)
  })
})

describe('by hand', () => {
  test.each([
    ['a file that was put there', (release: string) => writeFileSync(join(release, 'stray.html'), 'stray')],
    ['a file that was taken away', (release: string) => rmSync(join(release, 'kept.html'))],
  ])('%s: an error that says so, and the next run goes by content', async (_, change) => {
    const site = newSite({ 'index.html': 'one', 'kept.html': 'kept' })
    expectSuccess(await site.upload('r1'))
    change(join(site.target, 'releases/r1'))
    site.write({ 'index.html': 'two' })
    expectFailure(
      await site.upload('r2'),
      /the release has \(files, bytes\) .* instead of 2 7/,
      /nothing was activated/,
      /changed by hand/,
      /`verify: full`/,
    )
    expect(site.current).toBe('releases/r1')
    expectSuccess(await site.upload('r2'))
    expect(servedTree(site)).toEqual(treeOf(site.source))
  })
})

test('a file that is lost between its arrival and the check of it', async () => {
  const site = newSite({ 'index.html': 'one', 'kept.html': 'kept' })
  expectSuccess(await site.upload('r1'))
  site.write({ 'index.html': 'two' })
  onTestFinished(() => gated.open('unpacked'))
  gated.close('unpacked')
  const run = site.startUpload('r2')
  await gated.reached('unpacked')
  const staging = join(site.target, 'releases/.evenkeel/staging')
  const lost = treeOf(staging).find((line) => line.includes('/tree/kept.html'))
  rmSync(join(staging, lost?.split(' ')[0] ?? ''))
  gated.open('unpacked')
  expectFailure(await run.result, /the release has \(files, bytes\) 1 3 instead of 2 7/)
  expect(site.current).toBe('releases/r1')
  expectSuccess(await site.upload('r2'))
  expect(servedTree(site)).toEqual(treeOf(site.source))
})

describe.each([
  ['atomic', 'manifest', {}],
  ['atomic', 'full', {}],
  ['in-place', 'manifest', { delete: 'true' }],
  ['in-place', 'full', { delete: 'true' }],
  ['in-place', 'manifest', { delete: 'all' }],
])('%s, verify: %s %o', (mode, verify, more) => {
  const inputs = { mode, verify, 'keep-assets': 'assets/**', ...more }

  const listOf = (release: string) =>
    mode === 'atomic' ? `releases/.evenkeel/meta/${release}/manifest.gz` : '.evenkeel/site/manifest.gz'

  test('what keep-assets keeps is there for an hour, and no longer', async () => {
    const site = newSite({ 'index.html': 'a', 'assets/a.js': 'a', 'assets/deep/b.js': 'b' })
    const there = (path: string) =>
      treeOf(join(site.target, mode === 'atomic' ? 'current/' : '.')).some((line) =>
        line.startsWith(`/${path} `),
      )
    expectSuccess(await site.upload('r1', inputs))
    rmSync(join(site.source, 'assets'), { recursive: true })
    site.write({ 'index.html': 'b' })
    expectSuccess(await site.upload('r2', inputs))
    letPass(site, listOf('r2'), 61)
    site.write({ 'index.html': 'c' })
    expectSuccess(await site.upload('r3', inputs))
    expect([there('assets/a.js'), there('assets/deep/b.js')]).toEqual([true, true])
    letPass(site, listOf('r3'), 3600)
    site.write({ 'index.html': 'd' })
    expectSuccess(await site.upload('r4', inputs))
    expect([there('assets/a.js'), there('assets/deep/b.js')]).toEqual([false, false])
  })
})

test('in place, delete: all: what others put there is kept for no longer than that', async () => {
  const inputs = { mode: 'in-place', delete: 'all', 'keep-assets': 'assets/**' }
  const site = newSite()
  mkdirSync(join(site.target, 'assets'))
  const theirs = join(site.target, 'assets/theirs.js')
  writeFileSync(theirs, 'theirs')
  for (const release of ['r1', 'r2']) {
    site.write({ 'index.html': release })
    expectSuccess(await site.upload(release, inputs))
    expect(existsSync(theirs)).toBe(true)
  }
  letPass(site, '.evenkeel/site/manifest.gz', 3601)
  site.write({ 'index.html': 'r3' })
  expectSuccess(await site.upload('r3', inputs))
  expect(site.placed).toEqual(site.toBePlaced)
})

test.each([
  ['atomic', 'releases/.evenkeel/meta/r1/manifest.gz'],
  ['in-place', '.evenkeel/site/manifest.gz'],
])('%s: a stored list that is cut off, or empty, is named', async (mode, path) => {
  const site = newSite({ 'index.html': 'one', 'kept.html': 'kept' })
  expectSuccess(await site.upload('r1', { mode }))
  const list = join(site.target, path)
  const whole = readFileSync(list)
  for (const bytes of [whole.length - 20, 0]) {
    writeFileSync(list, whole.subarray(0, bytes))
    site.write({ 'index.html': 'two' })
    expectFailure(
      await site.upload('r2', { mode }),
      /127\.0\.0\.1:\d+: the list that the last upload left on the server cannot be read/,
      /the site is as it was/,
      `remove the file ${list}`,
    )
  }
  rmSync(list)
  expectSuccess(await site.upload('r2', { mode }))
  const root = mode === 'atomic' ? 'current/' : '.'
  expect(readFileSync(join(site.target, root, 'index.html'), 'utf8')).toBe('two')
})
