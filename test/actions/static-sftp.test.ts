// Servers that give a login SFTP and no commands.
import {
  existsSync,
  lstatSync,
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
