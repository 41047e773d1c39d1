// What `keep-assets` picked stays reachable when an older release comes back.
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { type Files, StaticSite } from './static-site.ts'

describe.each([
  ['shell', []],
  ['SFTP', ['ForceCommand internal-sftp']],
])('%s', (_, config) => {
  let sshd: Sshd
  beforeAll(async () => {
    sshd = await startSshd({ config })
  })
  afterAll(() => sshd?.stop())

  function newSite(files: Files): StaticSite {
    const site = new StaticSite(sshd, files)
    onTestFinished(() => site.remove())
    return site
  }

  test('whatever they may be called, as the same files, and gone where nothing is kept any more', async () => {
    const site = newSite({ 'index.html': 'one' })
    const inputs = { 'keep-assets': 'assets/**' }
    expectSuccess(await site.upload('r1', inputs))
    const names = [
      'new\nline.js',
      `it's "$(id)" \`id\`.js`,
      '-rf',
      'back\\slash.js',
      ' a  b ',
      'deep/er/ü 🚀.js',
    ]
    site.write(Object.fromEntries(names.map((name) => [`assets/${name}`, name])))
    site.write({ 'index.html': 'two', 'other.txt': 'not an asset' })
    expectSuccess(await site.upload('r2', inputs))
    const back = await site.rollback()
    expectSuccess(back)
    expect(back.log).not.toMatch(/could be kept reachable/)
    expect(site.served('index.html')).toBe('one')
    expect(existsSync(join(site.target, 'current/other.txt'))).toBe(false)
    const inode = (release: string, name: string) =>
      lstatSync(join(site.target, 'releases', release, 'assets', name)).ino
    for (const name of names) {
      expect(site.served(`assets/${name}`)).toBe(name)
      expect(inode('r1', name)).toBe(inode('r2', name))
    }
    rmSync(join(site.source, 'assets'), { recursive: true })
    rmSync(join(site.source, 'other.txt'))
    site.write({ 'index.html': 'three' })
    expectSuccess(await site.upload('r3', inputs))
    for (const name of names) expect(site.served(`assets/${name}`)).toBe(name)
    expectSuccess(await site.upload('r4', {}))
    expect(readdirSync(join(site.target, 'current/'))).toEqual(['index.html'])
  })

  test('never through a link, where the older release has one', async () => {
    const site = newSite({ 'index.html': 'one' })
    const inputs = { 'keep-assets': '**/*.js' }
    expectSuccess(await site.upload('r1', { ...inputs, linked: 'media/' }))
    site.write({ 'media/deep/app.js': 'two', 'app.js': 'two' })
    expectSuccess(await site.upload('r2', inputs))
    mkdirSync(join(site.target, 'shared/media/deep'))
    expectSuccess(await site.rollback())
    expect(site.served('app.js')).toBe('two')
    expect(readdirSync(join(site.target, 'shared/media/deep'))).toEqual([])
    expect(readFileSync(join(site.target, 'releases/r2/media/deep/app.js'), 'utf8')).toBe('two')
  })
})
