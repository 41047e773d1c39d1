import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectSuccess } from '../harness/input-cases.ts'
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

async function serve(site: StaticSite): Promise<Nginx> {
  const nginx = await startNginx({
    http: (port) => `server { listen 127.0.0.1:${port}; root ${site.target}/current; }`,
  })
  onTestFinished(() => nginx.stop())
  return nginx
}

test.each(['20', '24'] as const)('on Node %s: uploads a site, then only what changed', async (node) => {
  const site = newSite({ 'index.html': 'one', 'assets/app.js': 'app', 'assets/logo.svg': '<svg/>' })
  const nginx = await serve(site)
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
  expect(await (await fetch(`${nginx.url}/index.html`)).text()).toBe('one')

  site.write({ 'index.html': 'two' })
  const second = await site.upload('r2', {}, { node })
  expectSuccess(second)
  expect(second.outputs).toMatchObject({ 'previous-release': 'r1', 'files-sent': '1', changed: 'true' })
  expect(await (await fetch(`${nginx.url}/index.html`)).text()).toBe('two')
  expect(treeOf(join(site.target, 'releases/r2'))).toEqual(treeOf(site.source))
  const inode = (release: string) => lstatSync(join(site.target, 'releases', release, 'assets/app.js')).ino
  expect(inode('r2')).toBe(inode('r1'))
  expect(second.orphans).toEqual([])
  expect(second.summary).toContain('r2')

  const back = await site.rollback()
  expectSuccess(back)
  expect(await (await fetch(`${nginx.url}/index.html`)).text()).toBe('one')
})
