// Files straight in the served folder, which may hold other things too.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startNginx } from '../bed/nginx.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type Gate, type GatedSshd, startGatedSshd } from './static-gates.ts'
import { asStranger, siteOn } from './static-servers.ts'
import { type Files, StaticSite, treeOf } from './static-site.ts'

let gated: GatedSshd
let withoutShell: Sshd

beforeAll(async () => {
  gated = await startGatedSshd()
  withoutShell = await startSshd({ config: ['ForceCommand internal-sftp'] })
})
afterAll(async () => {
  await gated?.stop()
  await withoutShell?.stop()
})

const inPlace = { mode: 'in-place', delete: 'true' }

function newSite(files?: Files, way = 'a shell'): StaticSite {
  const site = new StaticSite(way === 'SFTP alone' ? withoutShell : gated.sshd, files)
  onTestFinished(() => site.remove())
  return site
}

const page = (site: StaticSite, path = 'index.html') => readFileSync(join(site.target, path), 'utf8')

describe.each([
  ['a shell, on Node 20', '20'],
  ['a shell, on Node 24', '24'],
  ['SFTP alone', '20'],
] as const)('through %s', (way, node) => {
  test('uploads, then only what changed, and removes only what was ours', async () => {
    const site = newSite(
      {
        'index.html': 'one',
        'a/b/page.html': 'page',
        'a/old.js': 'old',
        'new\nline/-rf': 'odd',
        "it's/$(id)": 'odd too',
      },
      way,
    )
    symlinkSync('a/old.js', join(site.source, 'link'))
    const upload = (release: string, inputs = {}) => site.upload(release, { ...inPlace, ...inputs }, { node })
    expectSuccess(await upload('r1'))
    expect(site.placed).toEqual(site.toBePlaced)
    mkdirSync(join(site.target, 'uploads'))
    writeFileSync(join(site.target, 'uploads/photo.jpg'), 'photo')
    for (const path of ['a/old.js', 'link', 'new\nline']) rmSync(join(site.source, path), { recursive: true })
    site.write({ 'index.html': 'two', 'a/new.js': 'new' })
    const second = await upload('r2')
    expectSuccess(second)
    expect(second.outputs).toMatchObject({ 'files-sent': '2', 'previous-release': 'r1', changed: 'true' })
    expect(page(site, 'uploads/photo.jpg')).toBe('photo')
    const again = await upload('r2')
    expect(again.outputs).toMatchObject({ changed: 'false', 'files-sent': '0' })
    site.write({ 'index.html': 'three' })
    expectSuccess(await upload('r3', { delete: 'all' }))
    expect(site.placed).toEqual(site.toBePlaced)
    writeFileSync(join(site.target, 'a/new.js'), 'bad')
    site.write({ 'index.html': 'four' })
    expectSuccess(await upload('r4', { verify: 'full' }))
    expect(site.placed).toEqual(site.toBePlaced)
    for (const left of ['next', 'back', 'pending', 'lease']) {
      expect(existsSync(join(site.target, '.evenkeel', left)), left).toBe(false)
    }
  })
})

describe.each(['a shell', 'SFTP alone'])('through %s', (way) => {
  test('things that become another kind of thing, and back when it is not well', async () => {
    const site = newSite(
      { a: 'file', 'b/c': 'in a folder', 'd/e/f': 'deep', 'g.js': 'g', 'index.html': 'fine' },
      way,
    )
    const nginx = await startNginx({
      http: (port) => `server { listen 127.0.0.1:${port}; root ${site.target}; }`,
    })
    onTestFinished(() => nginx.stop())
    const health = {
      'health-url': `${nginx.url}/index.html`,
      'expect-body': 'fine',
      'health-timeout': '600ms',
    }
    expectSuccess(await site.upload('r1', { ...inPlace, ...health }))
    const before = site.placed
    for (const path of ['a', 'b', 'd']) rmSync(join(site.source, path), { recursive: true })
    site.write({ 'a/now/folder': '1', b: 'a file', 'g.js': 'other', 'h.js': 'h', 'index.html': 'broken' })
    const failed = await site.upload('r2', { ...inPlace, ...health })
    expectFailure(failed, /release r2 is not healthy/, /serves release r1/)
    expect(site.placed).toEqual(before)
    expectSuccess(await site.upload('r2', inPlace))
    expect(site.placed).toEqual(site.toBePlaced)
  })

  test.each(['true', 'all'])('delete %s: never through a link that leaves the folder', async (deletion) => {
    const site = newSite({ 'index.html': 'one', 'sub/x.html': 'x', 'sub/y.html': 'y' }, way)
    const outside = mkdtempSync(join(tmpdir(), 'evenkeel-outside-'))
    onTestFinished(() => rmSync(outside, { recursive: true }))
    expectSuccess(await site.upload('r1', inPlace))
    for (const file of ['x.html', 'y.html']) writeFileSync(join(outside, file), 'not ours')
    const before = treeOf(outside)
    rmSync(join(site.target, 'sub'), { recursive: true })
    symlinkSync(outside, join(site.target, 'sub'))
    site.write({ 'sub/x.html': 'new' })
    expectFailure(await site.upload('r2', inPlace), /leads out of the folder of the site/)
    expect(treeOf(outside)).toEqual(before)
    rmSync(join(site.source, 'sub'), { recursive: true })
    await site.upload('r3', { ...inPlace, delete: deletion })
    expect(treeOf(outside)).toEqual(before)
  })
})

test('a folder that holds files already: what stands in the way comes back after a failure', async () => {
  const site = newSite()
  writeFileSync(join(site.target, 'index.html'), 'by hand')
  const before = site.placed
  expectFailure(await site.upload('r1', { ...inPlace, 'after-activate': 'false' }), /serves nothing/)
  expect(site.placed).toEqual(before)
  expectSuccess(await site.upload('r1', inPlace))
  expect(page(site)).toBe('one')
})

describe('a file of others that may not be read', () => {
  async function siteBeside() {
    const site = await siteOn({ config: asStranger(false) })
    expectSuccess(await site.upload('r1', inPlace))
    const secret = join(site.target, 'their secret')
    writeFileSync(secret, 'secret', { mode: 0 })
    site.write({ 'index.html': 'two' })
    return { site, secret }
  }

  test('delete: all needs not read it', async () => {
    const { site } = await siteBeside()
    expectSuccess(await site.upload('r2', { ...inPlace, delete: 'all' }))
    expect(site.placed).toEqual(site.toBePlaced)
  })

  test('verify: full names it', async () => {
    const { site, secret } = await siteBeside()
    const full = { ...inPlace, verify: 'full' }
    expectFailure(
      await site.upload('r2', full),
      /127\.0\.0\.1:\d+: '.*\/their secret' cannot be read/,
      /let the deploy user read it there, or take it away/,
    )
    expect(page(site)).toBe('one')
    chmodSync(secret, 0o600)
    expectSuccess(await site.upload('r2', full))
    expect(page(site)).toBe('two')
  })

  test('a folder, with delete: all', async () => {
    const { site } = await siteBeside()
    mkdirSync(join(site.target, 'their folder'), { mode: 0 })
    expectFailure(await site.upload('r2', { ...inPlace, delete: 'all' }), /\/their folder' cannot be read/)
    expect(page(site)).toBe('one')
  })
})

test('verify: full, and a file of others that goes while they are read', async () => {
  const site = newSite()
  expectSuccess(await site.upload('r1', inPlace))
  const passing = join(site.target, 'passing')
  writeFileSync(passing, 'soon gone')
  site.write({ 'index.html': 'two' })
  onTestFinished(() => gated.open('sha256sum'))
  gated.close('sha256sum')
  const run = site.startUpload('r2', { ...inPlace, verify: 'full' })
  await gated.reached('sha256sum')
  rmSync(passing)
  gated.open('sha256sum')
  expectSuccess(await run.result)
  expect(site.placed).toEqual(site.toBePlaced)
})

test('a dry run leaves the server as it is', async () => {
  const site = newSite()
  expectSuccess(await site.upload('r1', { ...inPlace, 'dry-run': 'true' }))
  expect(treeOf(site.target)).toEqual(['/ 700'])
  expectSuccess(await site.upload('r1', inPlace))
  site.write({ 'index.html': 'two' })
  const before = treeOf(site.target)
  for (const deletion of ['true', 'all']) {
    expectSuccess(await site.upload('r2', { ...inPlace, delete: deletion, 'dry-run': 'true' }))
    expect(treeOf(site.target)).toEqual(before)
  }
})

test.each([
  ['the same', {}, '0'],
  ['other content of the same length', { 'a/one.js': 'two' }, '1'],
  ['other files, a folder in the place of one', { 'c.js/d.js': 'd' }, '3'],
])('an unfinished upload is taken up: %s', async (_, changed, sent) => {
  const site = newSite({ 'index.html': 'old', 'b/two.js': 'old' })
  expectSuccess(await site.upload('old', inPlace))
  site.write({ 'index.html': 'new', 'a/one.js': 'one', 'c.js': 'c' })
  expectFailure(await site.upload('new', { ...inPlace, 'before-activate': 'exit 3' }), /exit code 3/)
  if ('c.js/d.js' in changed) rmSync(join(site.source, 'c.js'))
  site.write(changed)
  const result = await site.upload('new', inPlace)
  expectSuccess(result)
  expect(result.log).toContain('taking up an unfinished upload of new')
  expect(result.outputs['files-sent']).toBe(sent)
  expect(site.placed).toEqual(site.toBePlaced)
  expect(readdirSync(join(site.target, '.evenkeel/staging'))).toEqual([])
  expect(existsSync(join(site.target, '.evenkeel/next'))).toBe(false)
})

describe.each(['tar', 'sha256sum', 'mv'] satisfies Gate[])('stopped at %s', (gate) => {
  async function stopped() {
    const site = newSite({ 'index.html': 'old', 'a/one.js': 'one', 'gone.html': 'gone' })
    expectSuccess(await site.upload('old', inPlace))
    const before = site.placed
    rmSync(join(site.source, 'gone.html'))
    site.write({ 'index.html': 'new', 'b/two.js': 'two' })
    onTestFinished(() => gated.open(gate))
    gated.close(gate)
    const run = site.startUpload('new', inPlace)
    await gated.reached(gate)
    return { site, before, run }
  }

  test('kill -9: the settle step leaves the site wholly old; the same upload succeeds', async () => {
    const { site, before, run } = await stopped()
    run.kill9()
    gated.open(gate)
    const result = await run.result
    expect(result.conclusion).toBe('failure')
    const isOld = page(site) === 'old'
    expect(site.placed).toEqual(isOld ? before : site.toBePlaced)
    expectSuccess(await site.upload('new', inPlace))
    expect(site.placed).toEqual(site.toBePlaced)
  })

  test('a lost runner: the next run puts it right before anything else', async () => {
    const { site, before, run } = await stopped()
    await run.lostRunner()
    gated.open(gate)
    const next = await site.upload('bad', { ...inPlace, 'before-activate': 'exit 3', 'lock-wait': '10s' })
    expectFailure(next, /exit code 3/)
    expect(site.placed).toEqual(before)
    expectSuccess(await site.upload('new', inPlace))
    expect(site.placed).toEqual(site.toBePlaced)
    expect(existsSync(join(site.target, '.evenkeel/pending'))).toBe(false)
  })
})
