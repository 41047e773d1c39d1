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

test('those that cannot be reached fail the step by their names, before any is touched', async () => {
  const site = newSite()
  const alive = site.inputs()['host']
  const one = await site.upload('r1', { host: `${alive},u@127.0.0.1:1` })
  expectFailure(one, /^u@127\.0\.0\.1:1: cannot connect/m)
  const two = await site.upload('r1', { host: `u@127.0.0.1:1,${alive},u@127.0.0.1:2` })
  expectFailure(two, /failed on 2 of 3 hosts/, /^u@127\.0\.0\.1:1: cannot/m, /^u@127\.0\.0\.1:2: cannot/m)
  expect(treeOf(site.target)).toEqual(['/ 700'])
})

test('two runs that name the hosts in other orders: one waits, and both succeed', async () => {
  const site = newSite()
  const { gated, both, pages } = await secondHost(site)
  expectSuccess(await site.upload('r1', both))
  const reversed = { ...both, host: both.host.split('\n').reverse().join('\n') }
  gated.close('lock')
  onTestFinished(() => gated.open('lock'))
  site.write({ 'index.html': 'two' })
  const first = site.startUpload('r2', { ...both, 'lock-wait': '30s' })
  await gated.reached('lock')
  const second = site.startUpload('r3', { ...reversed, 'lock-wait': '30s' })
  await second.waitForLog(/waiting for the lock/)
  // By the time that a whole other run takes, it would have the host that the first one has not got yet.
  expectSuccess(await site.upload('r4', { ...reversed, 'dry-run': 'true' }))
  gated.open('lock')
  expectSuccess(await first.result)
  expectSuccess(await second.result)
  expect((await second.result).outputs['previous-release']).toBe('r2')
  expect(pages()).toEqual(['two', 'two'])
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
