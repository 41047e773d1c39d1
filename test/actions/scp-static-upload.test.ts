import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type Files, StaticSite, treeOf } from './static-site.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())

const hasZstd = spawnSync('zstd', ['--version']).status === 0

function newSite(files?: Files): StaticSite {
  const site = new StaticSite(sshd, files)
  onTestFinished(() => site.remove())
  return site
}

async function serve(site: StaticSite): Promise<Nginx> {
  const nginx = await startNginx({
    http: (port) => `server { listen 127.0.0.1:${port}; root ${site.target}/current; }`,
  })
  onTestFinished(() => nginx.stop())
  return nginx
}

const inode = (site: StaticSite, release: string, path: string) =>
  lstatSync(join(site.target, 'releases', release, path)).ino

describe.each(['20', '24'] as const)('on Node %s', (node) => {
  test('uploads a site, then only what changed, and goes back', async () => {
    const site = newSite({ 'index.html': 'one', 'assets/app.js': 'app', 'assets/logo.svg': '<svg/>' })
    const nginx = await serve(site)
    const page = async () => (await fetch(`${nginx.url}/index.html`)).text()
    const first = await site.upload('r1', {}, { node })
    expectSuccess(first)
    expect(first.outputs).toMatchObject({
      release: 'r1',
      'previous-release': '',
      files: '3',
      'files-sent': '3',
      changed: 'true',
    })
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
    expect(await page()).toBe('one')

    site.write({ 'index.html': 'two' })
    utimesSync(join(site.source, 'assets/app.js'), 1, 1)
    const second = await site.upload('r2', {}, { node })
    expectSuccess(second)
    expect(second.outputs).toMatchObject({ 'previous-release': 'r1', 'files-sent': '1', changed: 'true' })
    const report = JSON.parse(second.outputs['report'] ?? '')
    expect(report.hosts[0]).toMatchObject({ added: 0, changed: 1, removed: 0, unchanged: 2 })
    expect(await page()).toBe('two')
    expect(treeOf(join(site.target, 'releases/r2'))).toEqual(treeOf(site.source))
    expect(inode(site, 'r2', 'assets/app.js')).toBe(inode(site, 'r1', 'assets/app.js'))
    expect(second.orphans).toEqual([])
    expect(second.summary).toContain('| 0 | 1 | 0 | 2 |')

    expectSuccess(await site.rollback())
    expect(await page()).toBe('one')
  })
})

describe('what arrives', () => {
  test('whatever a file may be called', async () => {
    const site = newSite({
      'new\nline.html': '1',
      'it\'s "quoted" $(id) `id`.html': '2',
      '-rf': '3',
      '--checkpoint-action=exec=id': '4',
      'emoji-🚀/ünï.html': '5',
      '*.txt': '6',
      ' leading and trailing ': '7',
      'back\\slash\\n': '8',
      '+.': '9',
      '\n.\n<\n': '10',
      [`${'deep/'.repeat(40)}${'long'.repeat(50)}.html`]: '11',
      empty: '',
    })
    const latin1 = Buffer.concat([Buffer.from(site.source), Buffer.from('/caf\xe9.html', 'latin1')])
    writeFileSync(latin1, 'not UTF-8')
    mkdirSync(join(site.source, 'empty folder'))
    const twin = Buffer.concat([Buffer.from(site.source), Buffer.from('/caf\xe8', 'latin1')])
    writeFileSync(twin, 'another one')
    expectSuccess(await site.upload('r1'))
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
    rmSync(join(site.source, 'new\nline.html'))
    rmSync(join(site.source, '-rf'))
    rmSync(latin1)
    const second = await site.upload('r2')
    expectSuccess(second)
    expect(second.outputs['files-sent']).toBe('0')
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  })

  test('things that become another kind of thing, and older releases stay as they were', async () => {
    const site = newSite({ a: 'file', 'b/c': 'in a folder', 'd/e/f': 'deep', 'k/x': 'x' })
    symlinkSync('a', join(site.source, 'link'))
    expectSuccess(await site.upload('r1'))
    const before = treeOf(join(site.target, 'releases/r1'))
    for (const path of ['a', 'b', 'd', 'link']) rmSync(join(site.source, path), { recursive: true })
    site.write({ 'a/now/folder': '1', b: 'a file', 'link/x': 'no link' })
    symlinkSync('k', join(site.source, 'd'))
    chmodSync(join(site.source, 'k/x'), 0o600)
    expectSuccess(await site.upload('r2'))
    expect(treeOf(join(site.target, 'releases/r2'))).toEqual(treeOf(site.source))
    expect(treeOf(join(site.target, 'releases/r1'))).toEqual(before)
  })

  test('large files', async () => {
    const site = newSite({ 'index.html': 'small' })
    execFileSync('dd', ['if=/dev/urandom', `of=${site.source}/a.bin`, 'bs=1M', 'count=20'], {
      stdio: 'ignore',
    })
    execFileSync('dd', ['if=/dev/urandom', `of=${site.source}/b.bin`, 'bs=1M', 'count=20'], {
      stdio: 'ignore',
    })
    const result = await site.upload('r1')
    expectSuccess(result)
    expect(result.log).toContain('none, 1 lane')
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  })

  test.each([
    ['24', 'a quarter', hasZstd ? 'zstd' : 'none'],
    ['24', 'most', 'none'],
    ['20', 'a quarter', 'none'],
  ] as const)('beside the server, by Node %s, what has %s left of it travels as %s', async (node, left, codec) => {
    const site = newSite({})
    const text = 'the same words again and again. '.repeat(25_000)
    const solid = randomBytes(left === 'most' ? 1_500_000 : 200_000)
    // The beginnings say nothing of what follows.
    for (let at = 0; at < 10; at++) site.write({ [`${at}.html`]: Buffer.concat([Buffer.from(text), solid]) })
    const result = await site.upload('r1', {}, { node })
    expectSuccess(result)
    expect(result.log).toContain(`(${codec}, 1 lane)`)
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  })

  test.each([
    ['an absolute path', '/etc/passwd'],
    ['leaves the folder', '../outside'],
    ['leaves the folder', 'loop/../../x'],
  ])('a symbolic link to %s is refused before the server is touched', async (why, to) => {
    const site = newSite()
    symlinkSync('.', join(site.source, 'loop'))
    symlinkSync(to, join(site.source, 'evil'))
    expectFailure(await site.upload('r1'), /'evil' is a symbolic link/, why)
    expect(treeOf(site.target)).toEqual(['/ 700'])
  })

  test('a target with spaces, quotes and signs', async () => {
    const site = newSite()
    const target = join(site.target, `it's "my" $(site) \`x\` -x ä`)
    expectSuccess(await site.upload('r1', { target }))
    expect(readFileSync(join(target, 'current/index.html'), 'utf8')).toBe('one')
  })
})

describe('the same release again', () => {
  test('with the same content: nothing to do', async () => {
    const site = newSite()
    expectSuccess(await site.upload('r1'))
    const before = treeOf(join(site.target, 'releases/r1'))
    const again = await site.upload('r1')
    expectSuccess(again)
    expect(again.outputs).toMatchObject({ changed: 'false', 'files-sent': '0', 'bytes-sent': '0' })
    expect(again.log).toContain('nothing to do')
    expect(treeOf(join(site.target, 'releases/r1'))).toEqual(before)
  })

  test('with other content: an error, and nothing is touched', async () => {
    const site = newSite()
    expectSuccess(await site.upload('r1'))
    site.write({ 'index.html': 'other' })
    expectFailure(await site.upload('r1'), /release r1 is there already, with other content/)
    expect(site.served('index.html')).toBe('one')
  })

  test('after a rollback: it comes back without any upload', async () => {
    const site = newSite()
    expectSuccess(await site.upload('r1'))
    site.write({ 'index.html': 'two' })
    expectSuccess(await site.upload('r2'))
    expectSuccess(await site.rollback())
    const again = await site.upload('r2')
    expectSuccess(again)
    expect(again.outputs).toMatchObject({ changed: 'true', 'files-sent': '0' })
    expect(site.current).toBe('releases/r2')
  })
})

describe('an activation that fails', () => {
  test('unhealthy: the release before comes back, and the step says what is served', async () => {
    const site = newSite({ 'index.html': 'fine' })
    const nginx = await serve(site)
    const health = {
      'health-url': `${nginx.url}/index.html`,
      'expect-body': 'fine',
      'health-timeout': '600ms',
    }
    expectSuccess(await site.upload('r1', health))
    site.write({ 'index.html': 'broken' })
    const result = await site.upload('r2', health)
    expectFailure(result, /release r2 is not healthy/, /serves release r1/)
    expect(await (await fetch(`${nginx.url}/index.html`)).text()).toBe('fine')
  })

  test('the first release of all: there is nothing to go back to, and nothing is served', async () => {
    const site = newSite()
    const result = await site.upload('r1', { 'after-activate': 'echo went wrong >&2; exit 9' })
    expectFailure(result, /`after-activate` ended with exit code 9/, /went wrong/, /serves nothing/)
    expect(existsSync(join(site.target, 'current'))).toBe(false)
  })

  test('failed releases do not evict good ones, and go with the next success', async () => {
    const site = newSite()
    for (const release of ['r1', 'r2', 'r3']) {
      site.write({ 'index.html': release })
      expectSuccess(await site.upload(release, { 'keep-releases': '3' }))
    }
    for (const release of ['bad1', 'bad2']) {
      site.write({ 'index.html': release })
      expectFailure(
        await site.upload(release, { 'keep-releases': '3', 'after-activate': 'false' }),
        /exit code 1/,
      )
    }
    expect(site.releases).toEqual(['bad1', 'bad2', 'r1', 'r2', 'r3'])
    site.write({ 'index.html': 'r4' })
    expectSuccess(await site.upload('r4', { 'keep-releases': '3' }))
    expect(site.releases).toEqual(['r2', 'r3', 'r4'])
  })
})

test('a dry run leaves the server as it is, with a plan in the log', async () => {
  const site = newSite()
  expectSuccess(await site.upload('r0', { 'dry-run': 'true' }))
  expect(treeOf(site.target)).toEqual(['/ 700'])
  expectSuccess(await site.upload('r1'))
  site.write({ 'index.html': 'two', 'more.html': 'more' })
  const before = treeOf(site.target)
  const result = await site.upload('r2', { 'dry-run': 'true', 'before-activate': `touch ${site.target}/ran` })
  expectSuccess(result)
  expect(result.log).toContain('files: 1 added, 1 changed, 0 removed, 0 unchanged')
  expect(result.outputs['changed']).toBe('false')
  expect(treeOf(site.target)).toEqual(before)
})
