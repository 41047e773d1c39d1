import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { runAction } from '../harness/action-run.ts'
import { expectFailure } from '../harness/input-cases.ts'
import { type Files, StaticSite, treeOf } from './static-site.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())

function newSite(files?: Files): StaticSite {
  const site = new StaticSite(sshd, files)
  onTestFinished(() => site.remove())
  return site
}

describe('refused', () => {
  test.each([
    [{ source: 'no-such-folder' }, /`source` is 'no-such-folder', which does not exist/],
    [{ source: '/etc/passwd' }, /`source` is '\/etc\/passwd', which is a file/],
    [{ source: '' }, /`source` is required and empty/],
    [{ target: '/' }, /`target` is '\/': write the folder of the site/],
    [{ target: '//.//' }, /write the folder of the site/],
    [{ target: '~/www' }, /'~' is not expanded/],
    [{ target: 'www/site' }, /a relative path/],
    [{ target: '/www/../etc' }, /'\.\.' is not allowed/],
    [{ target: '/www\n/etc' }, /`target` holds a control character/],
    [{ release: '../r1' }, /`release` is '..\/r1'/],
    [{ release: '-rf' }, /`release` is '-rf'/],
    [{ release: '.evenkeel' }, /`release` is/],
    [{ mode: 'in-place', linked: 'media' }, /`linked` is for `mode: atomic`/],
    [{ mode: 'in-place', activate: 'false' }, /`activate` is false/],
    [{ delete: 'all' }, /`delete` is 'all', which is for `mode: in-place`/],
    [{ linked: '/etc' }, /`linked` has '\/etc'/],
    [{ linked: 'a/../../b' }, /`linked` has/],
    [{ chmod: '99' }, /`chmod` is '99'/],
    [{ chown: 'root; id' }, /`chown` is 'root; id'/],
    [{ 'keep-releases': '0' }, /`keep-releases` is '0'/],
  ])('%j, before any connection', async (inputs: Record<string, string>, message) => {
    const site = newSite()
    const result = await site.upload('r1', { host: 'u@127.0.0.1:1', ...inputs })
    expectFailure(result, message, /no connection was made/)
  })

  test('an empty source folder', async () => {
    const site = newSite({})
    expectFailure(await site.upload('r1'), /an empty folder/)
    site.write({ 'a.map': '' })
    expectFailure(await site.upload('r1', { exclude: '*.map' }), /holds no files/)
    expect(treeOf(site.target)).toEqual(['/ 700'])
  })

  test("a 'current' that is a folder of its own", async () => {
    const site = newSite()
    mkdirSync(join(site.target, 'current'))
    expectFailure(await site.upload('r1'), /'current' in .* is not a symbolic link/, /move it away/)
  })

  test('a folder of that release which is not ours', async () => {
    const site = newSite()
    mkdirSync(join(site.target, 'releases/r1'), { recursive: true })
    expectFailure(await site.upload('r1'), /not from an upload of this action/)
    expect(existsSync(join(site.target, 'current'))).toBe(false)
  })

  test('a target that cannot be made', async () => {
    const site = newSite()
    expectFailure(
      await site.upload('r1', { target: '/proc/site' }),
      /the folder cannot be used/,
      /\/proc\/site/,
    )
  })
})

test('everything that is wrong with the inputs is reported together', async () => {
  const result = await runAction({
    action: 'scp-static-upload',
    inputs: { target: '~', mode: 'ftp', relase: 'x' },
    node: '20',
  })
  expectFailure(
    result,
    /`host` is required/,
    /`source` is required/,
    /`target` is '~'/,
    /`mode` is 'ftp'/,
    /`relase` is not an input of this action: did you mean `release`/,
  )
})
