// Targets that cannot be written to, with a shell and without.
import {
  chmodSync,
  chownSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startGatedSshd } from './static-gates.ts'
import { asStranger, isRoot, mounted, siteOn } from './static-servers.ts'
import { StaticSite, treeOf } from './static-site.ts'

describe.each([
  ['a shell', [] as string[], false],
  ['SFTP', ['ForceCommand internal-sftp'], true],
])('through %s', (_name, config, isSftp) => {
  test.each(['atomic', 'in-place'])('%s, a read-only target', async (mode) => {
    const { folder, by } = mounted((at) => `mount -t tmpfs -o ro tmpfs ${at}`)
    const site = await siteOn({ config, by })
    const result = await site.upload('r1', { target: folder, mode })
    expectFailure(result, /read-only file system/i, /let the deploy user write there/)
    expect(readdirSync(folder)).toEqual([])
  })

  test('a target of another owner', async () => {
    const site = await siteOn({ config: asStranger(isSftp) })
    if (isRoot) chownSync(site.target, 65534, 65534)
    chmodSync(site.target, 0o555)
    onTestFinished(() => chmodSync(site.target, 0o755))
    const result = await site.upload('r1')
    expectFailure(result, /permission denied/i, /let the deploy user write there.*sudo install/)
    expect(treeOf(site.target)).toEqual(['/ 555'])
  })

  test('no space left, before and on the way', async () => {
    const { folder, by } = mounted((at) => `mount -t tmpfs -o size=24m,nr_inodes=300 tmpfs ${at}`)
    const site = await siteOn({ config, by })
    const seen = `/proc/${site.sshd.pid}/root${folder}`
    const target = { target: folder }
    expectSuccess(await site.upload('r1', target))
    writeFileSync(join(site.source, 'large.bin'), Buffer.alloc(30_000_000, 'x'))
    expectFailure(await site.upload('r2', target), /not enough space on the server/, /the site is as it was/)
    rmSync(join(site.source, 'large.bin'))
    // The bytes fit, so it begins; the inodes run out on the way.
    site.write(Object.fromEntries(Array.from({ length: 400 }, (_, at) => [`page-${at}.html`, `page ${at}`])))
    expectFailure(await site.upload('r3', target), /there is no space left on the server/)
    expect(readlinkSync(join(seen, 'current'))).toBe('releases/r1')
    expect(readdirSync(join(seen, 'releases/.evenkeel/staging'))).toEqual([])
    site.write({ 'index.html': 'two' })
    expectSuccess(await site.upload('r4', { ...target, exclude: 'page-*' }))
    expect(readFileSync(join(seen, 'current/index.html'), 'utf8')).toBe('two')
  })

  test('no space left, in place: what an earlier run could not put in place gives way', async () => {
    const { folder, by } = mounted((at) => `mount -t tmpfs -o size=24m tmpfs ${at}`)
    const site = await siteOn({ config, by })
    const seen = `/proc/${site.sshd.pid}/root${folder}`
    const inputs = { target: folder, mode: 'in-place' }
    const large = (text: string) => site.write({ 'sub/large.bin': Buffer.alloc(12_000_000, text) })
    expectSuccess(await site.upload('r1', inputs))
    large('x')
    // It arrives, and then may not go where it belongs.
    symlinkSync('/', join(seen, 'sub'))
    expectFailure(await site.upload('r2', inputs), /'sub' leads out of the folder of the site/)
    rmSync(join(seen, 'sub'))
    large('y')
    expectFailure(await site.upload('r3', inputs), /not enough space on the server/)
    expectSuccess(await site.upload('r3', inputs))
    expect(readFileSync(join(seen, 'sub/large.bin')).equals(Buffer.alloc(12_000_000, 'y'))).toBe(true)
  })

  test('verify: full where the release is there already: nothing to do', async () => {
    const site = await siteOn({ config })
    expectSuccess(await site.upload('r1'))
    const before = treeOf(join(site.target, 'releases/r1'))
    const again = await site.upload('r1', { verify: 'full' })
    expectSuccess(again)
    expect(again.outputs).toMatchObject({ changed: 'false', 'files-sent': '0' })
    expect(treeOf(join(site.target, 'releases/r1'))).toEqual(before)
  })

  test('a target with spaces, quotes and signs', async () => {
    const site = await siteOn({ config })
    const target = join(site.target, `it's "my" $(site) \`x\` -x ä`)
    expectSuccess(await site.upload('r1', { target }))
    expect(readFileSync(join(target, 'current/index.html'), 'utf8')).toBe('one')
  })
})

test('no space left while what arrived is checked: it does not stay', async () => {
  const { folder, by } = mounted((at) => `mount -t tmpfs -o size=24m tmpfs ${at}`)
  const gated = await startGatedSshd({ by })
  const site = new StaticSite(gated.sshd)
  onTestFinished(async () => {
    gated.open('sha256sum')
    await gated.stop()
    site.remove()
  })
  const seen = `/proc/${gated.sshd.pid}/root${folder}`
  expectSuccess(await site.upload('r1', { target: folder }))
  site.write({ 'index.html': 'two' })
  gated.close('sha256sum')
  const run = site.startUpload('r2', { target: folder })
  await gated.reached('sha256sum')
  const filler = join(seen, 'filler')
  expect(() => writeFileSync(filler, Buffer.alloc(30_000_000))).toThrow(/ENOSPC/)
  gated.open('sha256sum')
  expectFailure(await run.result, /no space left/i, /free some space there/)
  expect(readlinkSync(join(seen, 'current'))).toBe('releases/r1')
  expect(readdirSync(join(seen, 'releases/.evenkeel/staging'))).toEqual([])
  rmSync(filler)
  expectSuccess(await site.upload('r2', { target: folder }))
  expect(readFileSync(join(seen, 'current/index.html'), 'utf8')).toBe('two')
})
