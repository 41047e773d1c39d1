// Targets that cannot be written to, with a shell and without.
import { chmodSync, chownSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { findProgram } from '../bed/packages.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { isRoot, mounted, siteOn } from './static-servers.ts'
import { treeOf } from './static-site.ts'

/** Sessions to which no file of others is open, as root's own would be; an ordinary user takes the right from the folder instead. */
function asStranger(isSftp: boolean): string[] {
  const other = isRoot ? 'setpriv --bounding-set=-all --' : ''
  const server = findProgram('sftp-server').path
  const command = isSftp
    ? `test "$SSH_ORIGINAL_COMMAND" = ${server} && exec ${other} ${server} || exit 1`
    : `exec ${other} sh -c "$SSH_ORIGINAL_COMMAND"`
  return [`ForceCommand ${command}`]
}

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
