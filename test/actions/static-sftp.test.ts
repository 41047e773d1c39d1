// Servers that give a login SFTP and no commands.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startNginx } from '../bed/nginx.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startLine } from './static-line.ts'
import { type Files, StaticSite, treeOf } from './static-site.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd({ config: ['ForceCommand internal-sftp'] })
})
afterAll(() => sshd?.stop())

function newSite(files?: Files, on = sshd): StaticSite {
  const site = new StaticSite(on, files)
  onTestFinished(() => site.remove())
  return site
}

const inode = (site: StaticSite, release: string, path: string) =>
  lstatSync(join(site.target, 'releases', release, path)).ino

describe.each(['20', '24'] as const)('on Node %s', (node) => {
  test('uploads a site, then only what changed, by hard links, and goes back', async () => {
    const site = newSite({ 'index.html': 'one', 'assets/app.js': 'app', 'a/b/c/deep.txt': 'deep', empty: '' })
    mkdirSync(join(site.source, 'empty folder'), { mode: 0o750 })
    symlinkSync('assets/app.js', join(site.source, 'link'))
    const first = await site.upload('r1', {}, { node })
    expectSuccess(first)
    expect(first.log).toContain('this login runs no commands, it may only use SFTP')
    expect(first.log).toContain('complete and verified (by sizes)')
    expect(first.summary).toContain('Through SFTP, without a shell')
    expect(first.outputs).toMatchObject({ files: '5', 'files-sent': '4', changed: 'true' })
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
    site.write({ 'index.html': 'two', 'new.html': 'new' })
    rmSync(join(site.source, 'a'), { recursive: true })
    const second = await site.upload('r2', {}, { node })
    expectSuccess(second)
    expect(second.outputs).toMatchObject({ 'previous-release': 'r1', 'files-sent': '2', changed: 'true' })
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
    expect(inode(site, 'r2', 'assets/app.js')).toBe(inode(site, 'r1', 'assets/app.js'))
    const again = await site.upload('r2', {}, { node })
    expect(again.outputs).toMatchObject({ changed: 'false', 'files-sent': '0' })
    expect(readdirSync(join(site.target, 'releases/.evenkeel')).sort()).toEqual(['meta', 'staging'])
    const back = await site.rollback()
    expectSuccess(back)
    expect(back.outputs).toMatchObject({ release: 'r1', 'previous-release': 'r2' })
    expect(site.served('index.html')).toBe('one')
  })
})

test('whatever a file may be called, and things that become another kind of thing', async () => {
  const site = newSite({
    'new\nline.html': '1',
    'it\'s "quoted" $(id) `id`.html': '2',
    '-rf': '3',
    'emoji-🚀/ünï.html': '4',
    '*.txt': '5',
    ' leading and trailing ': '6',
    'back\\slash\\n': '7',
    [`${'deep/'.repeat(40)}${'long'.repeat(50)}.html`]: '8',
    a: 'file',
    'b/c': 'in a folder',
  })
  for (const name of ['/caf\xe9.html', '/caf\xe8']) {
    writeFileSync(Buffer.concat([Buffer.from(site.source), Buffer.from(name, 'latin1')]), 'not UTF-8')
  }
  const links = Buffer.concat([Buffer.from(site.source), Buffer.from('/l\xefnk', 'latin1')])
  symlinkSync(Buffer.from('caf\xe8', 'latin1'), links)
  expectSuccess(await site.upload('r1'))
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  const before = treeOf(join(site.target, 'releases/r1'))
  for (const path of ['a', 'b', 'new\nline.html']) rmSync(join(site.source, path), { recursive: true })
  site.write({ 'a/now/folder': '1', b: 'a file' })
  chmodSync(join(site.source, '-rf'), 0o600)
  const second = await site.upload('r2')
  expectSuccess(second)
  expect(second.outputs['files-sent']).toBe('3')
  expect(treeOf(join(site.target, 'releases/r2'))).toEqual(treeOf(site.source))
  expect(treeOf(join(site.target, 'releases/r1')).filter((line) => !line.startsWith('/-rf'))).toEqual(
    before.filter((line) => !line.startsWith('/-rf')),
  )
})

test('many files and large ones', async () => {
  const site = newSite(
    Object.fromEntries(
      Array.from({ length: 800 }, (_, at) => [`folder-${at % 20}/page-${at}.html`, `${at}`]),
    ),
  )
  const large = Buffer.alloc(9_000_001, 'a large file, ')
  site.write({ 'large.bin': large })
  const result = await site.upload('r1')
  expectSuccess(result)
  expect(Number(result.outputs['bytes-sent'])).toBeGreaterThan(large.length)
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
})

test('a connection that is cut while a large file is on its way fails the upload, and leaves the site free', async () => {
  const site = newSite({ 'index.html': 'one' })
  expectSuccess(await site.upload('r1'))
  site.write({ 'index.html': 'two', 'large.bin': Buffer.alloc(16_000_000, 'a large file, ') })
  const line = await startLine(sshd)
  onTestFinished(() => line.close())
  line.haltAfter(4_000_000)
  const run = site.startUpload('r2', line.inputs)
  await line.halted()
  // By the next line of its progress, as much is on its way as may be.
  await run.waitForLog(/uploading: /)
  line.cut()
  expectFailure(await run.result, /the SFTP session ended in the middle of its work/)
  expect(site.served('index.html')).toBe('one')
  expectSuccess(await site.upload('r2'))
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
})

test('keep-assets, linked, chmod, keep-releases, activate: false', async () => {
  const site = newSite({ 'index.html': 'r1', 'assets/app.r1.js': 'r1' })
  const inputs = {
    'keep-assets': 'assets/**',
    linked: 'media/\nconfig/local.json',
    chmod: 'u=rwX,go=rX',
    'keep-releases': '2',
  }
  expectSuccess(await site.upload('r1', inputs))
  writeFileSync(join(site.target, 'shared/media/photo.jpg'), 'photo')
  for (const release of ['r2', 'r3', 'r4']) {
    rmSync(join(site.source, 'assets'), { recursive: true })
    site.write({ 'index.html': release, [`assets/app.${release}.js`]: release })
    chmodSync(join(site.source, 'index.html'), 0o600)
    const staged = await site.upload(release, { ...inputs, activate: 'false' })
    expectSuccess(staged)
    expect(site.served('index.html')).not.toBe(release)
    const activated = await site.upload(release, inputs)
    expectSuccess(activated)
    expect(activated.outputs).toMatchObject({ changed: 'true', 'files-sent': '0' })
    expect(site.served('index.html')).toBe(release)
  }
  expect(site.releases).toEqual(['r3', 'r4'])
  for (const release of ['r1', 'r2', 'r3', 'r4'])
    expect(site.served(`assets/app.${release}.js`)).toBe(release)
  expect(site.served('media/photo.jpg')).toBe('photo')
  expect(lstatSync(join(site.target, 'current/index.html')).mode & 0o777).toBe(0o644)
  expectFailure(await site.rollback({ to: 'r1' }), /there is no release 'r1'/, /r4 \(served now\), r3/)
  expectSuccess(await site.rollback())
  expect(site.current).toBe('releases/r3')
})

test('the same release with other content, a folder that is not ours, a current that is no link', async () => {
  const site = newSite()
  mkdirSync(join(site.target, 'current'))
  expectFailure(await site.upload('r1'), /'current' in .* is not a symbolic link/, /move it away/)
  rmSync(join(site.target, 'current'), { recursive: true })
  expectSuccess(await site.upload('r1'))
  site.write({ 'index.html': 'other' })
  expectFailure(await site.upload('r1'), /release r1 is there already, with other content/)
  mkdirSync(join(site.target, 'releases/mine'))
  expectFailure(await site.upload('mine'), /not from an upload of this action/)
  expect(site.served('index.html')).toBe('one')
})

test('verify: full reads the files there, and those that were sent, and mends what was edited by hand', async () => {
  const site = newSite({ 'index.html': 'one', 'kept.html': 'kept' })
  expectSuccess(await site.upload('r1'))
  const edited = join(site.target, 'releases/r1/kept.html')
  rmSync(edited)
  writeFileSync(edited, 'by ha')
  site.write({ 'index.html': 'two' })
  const result = await site.upload('r2', { verify: 'full' })
  expectSuccess(result)
  expect(result.log).toContain('complete and verified:')
  expect(result.summary).toContain('contents were read back and compared')
  expect(result.outputs['files-sent']).toBe('2')
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  const again = await site.upload('r2', { verify: 'full' })
  expect(again.outputs).toMatchObject({ changed: 'false', 'files-sent': '0' })
})

test.each(['atomic', 'in-place'])('%s: a dry run leaves the server as it is', async (mode) => {
  const site = newSite()
  expectSuccess(await site.upload('r0', { mode, 'dry-run': 'true' }))
  expect(treeOf(site.target)).toEqual(['/ 700'])
  expectSuccess(await site.upload('r1', { mode }))
  site.write({ 'index.html': 'two', 'more.html': 'more' })
  const before = treeOf(site.target)
  const result = await site.upload('r2', { mode, 'dry-run': 'true', verify: 'full' })
  expectSuccess(result)
  expect(result.log).toContain('files: 1 added, 1 changed, 0 removed, 0 unchanged')
  expect(treeOf(site.target)).toEqual(before)
})

describe('refused before anything is changed', () => {
  test('what needs a shell, all of it by name', async () => {
    const site = newSite()
    const needs = { 'before-activate': 'true', 'after-activate': 'true', chown: 'www-data' }
    expectFailure(
      await site.upload('r1', { ...needs, 'health-command': 'true' }),
      /`before-activate`, `after-activate`, `chown`, `health-command` cannot be had without a shell/,
      /nothing was changed there/,
    )
    expect(treeOf(site.target)).toEqual(['/ 700'])
    expectSuccess(await site.upload('r1'))
    expectFailure(await site.rollback({ 'health-command': 'true' }), /`health-command` cannot be had/)
  })

  test('a server without an atomic rename', async () => {
    const other = await startSshd({ config: ['ForceCommand internal-sftp -P posix-rename'] })
    onTestFinished(() => other.stop())
    const site = newSite({ 'index.html': 'one' }, other)
    expectFailure(await site.upload('r1'), /does not offer posix-rename@openssh.com/, /nothing was changed/)
    expect(treeOf(site.target)).toEqual(['/ 700'])
  })

  test('a server with neither', async () => {
    const other = await startSshd({ config: ['ForceCommand echo no; exit 1'] })
    onTestFinished(() => other.stop())
    const site = newSite({ 'index.html': 'one' }, other)
    expectFailure(await site.upload('r1'), /SFTP/i)
    expect(treeOf(site.target)).toEqual(['/ 700'])
  })

  test('a health check through a server that forwards nothing', async () => {
    const other = await startSshd({ config: ['ForceCommand internal-sftp', 'AllowTcpForwarding no'] })
    onTestFinished(() => other.stop())
    const site = newSite({ 'index.html': 'one' }, other)
    expectFailure(
      await site.upload('r1', { 'health-tcp': '80', 'health-timeout': '5s' }),
      /forwards no connections/,
      /health-from/,
    )
    expect(existsSync(join(site.target, 'current'))).toBe(false)
  })
})

test.each([
  ['hardlink', /makes no hard links through SFTP: unchanged files were copied/, '1'],
  ['hardlink,copy-data', /neither links nor copies files through SFTP/, '2'],
  ['statvfs,limits,lsetstat', /hard links for unchanged files/, '1'],
])('a server without %s', async (denied, message, sent) => {
  const other = await startSshd({ config: [`ForceCommand internal-sftp -P ${denied}`] })
  onTestFinished(() => other.stop())
  const site = newSite({ 'index.html': 'one', 'assets/app.js': 'app' }, other)
  expectSuccess(await site.upload('r1'))
  site.write({ 'index.html': 'two' })
  const second = await site.upload('r2')
  expectSuccess(second)
  expect(second.log).toMatch(message)
  expect(second.outputs['files-sent']).toBe(sent)
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
  // Kept from the release before, which only the server has.
  rmSync(join(site.source, 'assets'), { recursive: true })
  expectSuccess(await site.upload('r3', { 'keep-assets': 'assets/**' }))
  expect(site.served('assets/app.js')).toBe('app')
  const inPlace = newSite({ 'index.html': 'one' }, other)
  expectSuccess(await inPlace.upload('r1', { mode: 'in-place' }))
  inPlace.write({ 'index.html': 'two' })
  expectSuccess(await inPlace.upload('r2', { mode: 'in-place' }))
  expect(readFileSync(join(inPlace.target, 'index.html'), 'utf8')).toBe('two')
})

test('unhealthy: the release before comes back', async () => {
  const site = newSite({ 'index.html': 'fine' })
  const nginx = await startNginx({
    http: (port) => `server { listen 127.0.0.1:${port}; root ${site.target}/current; }`,
  })
  onTestFinished(() => nginx.stop())
  const health = { 'health-url': `${nginx.url}/index.html`, 'expect-body': 'fine', 'health-timeout': '600ms' }
  expectSuccess(await site.upload('r1', health))
  site.write({ 'index.html': 'broken' })
  expectFailure(await site.upload('r2', health), /release r2 is not healthy/, /serves release r1/)
  expect(await (await fetch(`${nginx.url}/index.html`)).text()).toBe('fine')
  expectFailure(await site.rollback({ ...health, to: 'r2' }), /release r2 is not healthy/)
  expect(site.current).toBe('releases/r1')
})

test.runIf(process.getuid?.() === 0)('a chroot: / is the folder of the server', async () => {
  // Folders above a chroot may be written to by root alone, which /tmp is not.
  const inside = 'mount -t tmpfs -o mode=755 tmpfs /mnt && mkdir -p /mnt/www && exec "$@"'
  const jailed = await startSshd({
    config: ['ChrootDirectory /mnt', 'ForceCommand internal-sftp'],
    by: ['unshare', '-m', 'sh', '-c', inside, 'sh'],
  })
  onTestFinished(() => jailed.stop())
  const site = newSite({ 'index.html': 'one' }, jailed)
  const seen = `/proc/${jailed.pid}/root/mnt/www/site`
  expectSuccess(await site.upload('r1', { target: '/www/site' }))
  site.write({ 'index.html': 'two' })
  expectSuccess(await site.upload('r2', { target: '/www/site' }))
  expect(treeOf(`${seen}/current/`)).toEqual(treeOf(site.source))
  expectSuccess(await site.rollback({ target: '/www/site' }))
  expect(readFileSync(`${seen}/current/index.html`, 'utf8')).toBe('one')
  expectSuccess(await site.upload('p1', { target: '/www/plain', mode: 'in-place' }))
  expect(readFileSync(`/proc/${jailed.pid}/root/mnt/www/plain/index.html`, 'utf8')).toBe('two')
})
