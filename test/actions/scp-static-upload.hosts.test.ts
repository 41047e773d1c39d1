import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { secondHost } from './static-pair.ts'
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

test('all of them, or none', async () => {
  const site = newSite()
  const { both: hosts, folder, pages } = await secondHost(site)
  expectSuccess(await site.upload('r1', hosts))
  expect(pages()).toEqual(['one', 'one'])

  site.write({ 'index.html': 'two' })
  writeFileSync(join(folder, 'sick'), '')
  const result = await site.upload('r2', { ...hosts, 'after-activate': 'test ! -e sick' })
  expectFailure(result, /127\.0\.0\.2/, /serves release r1; .* serves release r1/)
  expect(pages()).toEqual(['one', 'one'])

  rmSync(join(folder, 'sick'))
  expectSuccess(await site.upload('r3', hosts))
  expect(pages()).toEqual(['two', 'two'])
  expectSuccess(await site.rollback(hosts))
  expect(pages()).toEqual(['one', 'one'])
})

test('one that cannot be reached fails the step by its name, before any is touched', async () => {
  const site = newSite()
  const hosts = { host: `${site.inputs()['host']},u@127.0.0.1:1` }
  expectFailure(await site.upload('r1', hosts), /u@127\.0\.0\.1:1: cannot connect/)
  expect(treeOf(site.target)).toEqual(['/ 700'])
})

test('a rollback to what only one of them has is refused on both', async () => {
  const site = newSite()
  const { both, pages } = await secondHost(site)
  expectSuccess(await site.upload('r1'))
  site.write({ 'index.html': 'two' })
  expectSuccess(await site.upload('r2', both))
  const result = await site.rollback({ ...both, to: 'r1' })
  expectFailure(result, /127\.0\.0\.2:\d+: there is no release 'r1'/, /newest first: r2 \(served now\)/)
  expect(pages()).toEqual(['two', 'two'])
})

test('in place: a mix is reported and brought together; a dead run is taken back on all', async () => {
  const site = newSite()
  const { both, folder } = await secondHost(site)
  const hosts = { ...both, mode: 'in-place' }
  const pages = () => [site.target, folder].map((root) => readFileSync(join(root, 'index.html'), 'utf8'))
  expectSuccess(await site.upload('r1', hosts))
  site.write({ 'index.html': 'two' })
  expectSuccess(await site.upload('r2', { mode: 'in-place' }))
  expect(pages()).toEqual(['two', 'one'])
  const mended = await site.upload('r2', hosts)
  expectSuccess(mended)
  expect(mended.log).toContain('the hosts do not serve the same release')
  expect(pages()).toEqual(['two', 'two'])

  site.write({ 'index.html': 'three' })
  const dead = site.startUpload('r3', { ...hosts, 'after-activate': ': >hook-runs; sleep 600' })
  await until('the hook runs', () =>
    [site.target, folder].every((root) => existsSync(join(root, 'hook-runs'))),
  )
  expect(pages()).toEqual(['three', 'three'])
  await dead.lostRunner()
  const next = await site.upload('r4', { ...hosts, 'before-activate': 'exit 3', 'lock-wait': '10s' })
  expectFailure(next, /exit code 3/)
  expect(pages()).toEqual(['two', 'two'])
})
