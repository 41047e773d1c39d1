import { execFile, spawnSync } from 'node:child_process'
import { existsSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startNginx } from '../bed/nginx.ts'
import { findProgram } from '../bed/packages.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { startDelayingProxy } from '../bench/delaying-proxy.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startGatedSshd } from './static-gates.ts'
import { startLine } from './static-line.ts'
import { secondHost } from './static-pair.ts'
import { StaticSite, treeOf } from './static-site.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())

const siteWithReleases = (...releases: string[]) => siteOn(sshd, ...releases)

async function siteOn(server: Sshd, ...releases: string[]): Promise<StaticSite> {
  const site = new StaticSite(server)
  onTestFinished(() => site.remove())
  for (const release of releases) {
    site.write({ 'index.html': release })
    expectSuccess(await site.upload(release))
  }
  return site
}

describe.each(['20', '24'] as const)('on Node %s', (node) => {
  test('goes back to what the served release replaced, and further with each run', async () => {
    const site = await siteWithReleases('r1', 'r2', 'r3')
    const run = () => runAction({ action: 'static-rollback', inputs: site.inputs(), node })
    const first = await run()
    expectSuccess(first)
    expect(first.outputs).toMatchObject({ release: 'r2', 'previous-release': 'r3' })
    expect(site.served('index.html')).toBe('r2')
    expectSuccess(await run())
    expect(site.served('index.html')).toBe('r1')
    expectFailure(await run(), /no release is known that 'r1' replaced/, /r3, r2, r1 \(served now\)/)
    expect(first.orphans).toEqual([])
    expect(first.summary).toContain('r2')
  })
})

test('takes at most two round trips more than one command by ssh', async () => {
  const site = await siteWithReleases('r1', 'r2')
  const proxy = await startDelayingProxy(sshd, 50)
  onTestFinished(() => proxy.stop())
  const known = sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${proxy.port} `)
  const knownHosts = join(site.source, 'known_hosts')
  writeFileSync(knownHosts, known)
  const options = ['-F', 'none', '-i', sshd.clientKey.path, '-o', `UserKnownHostsFile=${knownHosts}`]
  const address = `${sshd.user}@127.0.0.1`
  await promisify(execFile)(findProgram('ssh').path, [...options, '-p', `${proxy.port}`, address, 'true'])
  const bare = proxy.turns.length
  proxy.turns = []
  expectSuccess(await site.rollback({ host: `${address}:${proxy.port}`, 'known-hosts': known }))
  expect(site.served('index.html')).toBe('r1')
  expect(bare).toBeGreaterThan(4)
  expect(proxy.turns.length).toBeLessThanOrEqual(bare + 2)
})

test('after a rollback and a new upload, previous is what was served, not the bad one', async () => {
  const site = await siteWithReleases('good', 'bad')
  expectSuccess(await site.rollback())
  site.write({ 'index.html': 'fixed' })
  expectSuccess(await site.upload('fixed'))
  expectSuccess(await site.rollback())
  expect(site.served('index.html')).toBe('good')
})

test('unhealthy after it: the site stays where it was', async () => {
  const site = await siteWithReleases('r1', 'r2')
  const nginx = await startNginx({
    http: (port) => `server { listen 127.0.0.1:${port}; root ${site.target}/current; }`,
  })
  onTestFinished(() => nginx.stop())
  const result = await site.rollback({
    'health-url': `${nginx.url}/index.html`,
    'expect-body': 'r2',
    'health-timeout': '500ms',
  })
  expectFailure(result, /release r1 is not healthy/, /serves release r2/)
  expect(site.served('index.html')).toBe('r2')
  expectSuccess(await site.rollback({ 'health-url': `${nginx.url}/index.html`, 'expect-body': 'r1' }))
})

test('to the release that is served: nothing to do', async () => {
  const site = await siteWithReleases('r1')
  const before = treeOf(site.target)
  expectSuccess(await site.rollback({ to: 'r1' }))
  expect(treeOf(site.target).filter((line) => !line.includes('holder'))).toEqual(
    before.filter((line) => !line.includes('holder')),
  )
})

test('a release removed by hand is not offered', async () => {
  const site = await siteWithReleases('r1', 'r2', 'r3')
  rmSync(join(site.target, 'releases/r2'), { recursive: true })
  expectFailure(await site.rollback(), /there is no release 'r2'/, /r3 \(served now\), r1/)
  expectFailure(await site.rollback({ to: '../../etc' }), /`to` is '..\/..\/etc'/)
  expect(site.current).toBe('releases/r3')
})

test.each([
  'kill9',
  'cancel',
] as const)('%s while its health is checked: the site is back where it was', async (how) => {
  const site = await siteWithReleases('r1', 'r2')
  const probed = join(site.target, 'probed')
  const run = startAction({
    action: 'static-rollback',
    inputs: site.inputs({ 'health-command': `touch ${probed}; sleep 600` }),
    node: '20',
  })
  await until('the health is checked', () => existsSync(probed))
  expect(site.served('index.html')).toBe('r1')
  if (how === 'kill9') run.kill9()
  else void run.cancel()
  const result = await run.result
  expect(result.conclusion).toBe(how === 'kill9' ? 'failure' : 'cancelled')
  expect(result.log).toContain('serves release r2')
  expect(site.served('index.html')).toBe('r2')
})

describe('a run has died with a release that is not confirmed: previous is the one that it replaced', () => {
  const dead = async (site: StaticSite, inputs: Record<string, string>, reached: () => Promise<unknown>) => {
    site.write({ 'index.html': 'r3' })
    const run = site.startUpload('r3', inputs)
    await reached()
    await run.lostRunner()
  }

  /** Its lock goes when the server notices. */
  const lockIsFree = (site: StaticSite) =>
    until('the lock is free', () => {
      const lock = join(site.target, 'releases/.evenkeel/lock')
      return spawnSync('flock', ['-n', lock, 'true']).status === 0
    })

  test('one host', async () => {
    const site = await siteWithReleases('r1', 'r2')
    const hook = join(site.target, 'hook-runs')
    await dead(site, { 'after-activate': `: >${hook}; sleep 600` }, () =>
      until('the hook runs', () => existsSync(hook)),
    )
    await lockIsFree(site)
    const before = treeOf(site.target)
    const dry = await site.rollback({ 'dry-run': 'true' })
    expectSuccess(dry)
    expect(treeOf(site.target)).toEqual(before)
    const real = await site.rollback()
    expectSuccess(real)
    expect(site.current).toBe('releases/r2')
    for (const { outputs, log } of [dry, real]) {
      expect(outputs).toMatchObject({ release: 'r2', 'previous-release': 'r3' })
      expect(log).toContain(': r3 -> r2')
    }
    expectSuccess(await site.rollback())
    expect(site.current).toBe('releases/r1')
  })

  test('two hosts, activated on one', async () => {
    const site = new StaticSite(sshd)
    onTestFinished(() => site.remove())
    const { gated, folder, both, links } = await secondHost(site)
    for (const release of ['r1', 'r2']) {
      site.write({ 'index.html': release })
      expectSuccess(await site.upload(release, both))
    }
    gated.close('mv')
    await dead(site, both, async () => {
      await gated.reached('mv')
      await until('the first has it', () => site.current === 'releases/r3')
    })
    expect(links()).toEqual(['releases/r3', 'releases/r2'])
    await lockIsFree(site)
    const dry = await site.rollback({ ...both, 'dry-run': 'true' })
    expectSuccess(dry)
    // What is held there has the lock until its time is over.
    const past = Date.now() / 1000 - 300
    utimesSync(join(folder, 'releases/.evenkeel/beat'), past, past)
    const real = await site.rollback(both)
    expectSuccess(real)
    expect(links()).toEqual(['releases/r2', 'releases/r2'])
    for (const { outputs, log } of [dry, real]) {
      expect(outputs).toMatchObject({ release: 'r2', 'previous-release': 'r3' })
      expect(log).toContain(': r3 -> r2')
      expect(log).toContain(': r2 -> r2')
    }
  })
})

describe('the line breaks at the activation: the site is wholly old or wholly new, and the log tells which', () => {
  test.each([
    ['mv', {}, 'r2'],
    ['swapped', {}, 'r1'],
    ['mv', { 'health-command': 'true' }, 'r2'],
    ['swapped', { 'health-command': 'true' }, 'r2'],
  ] as const)('at %s, %o: %s', async (gate, health, served) => {
    const gated = await startGatedSshd()
    onTestFinished(() => gated.stop())
    const site = await siteOn(gated.sshd, 'r1', 'r2')
    const line = await startLine(gated.sshd)
    onTestFinished(() => line.close())
    gated.close(gate)
    const run = startAction({
      action: 'static-rollback',
      inputs: site.inputs({ ...line.inputs, ...health }),
      node: '20',
    })
    await gated.reached(gate)
    line.cut()
    const result = await run.result
    expectFailure(result, /could not be taken back/)
    expect(result.log).toMatch(new RegExp(`^\\S+ serves release ${served}$`, 'm'))
    expect(site.served('index.html')).toBe(served)
    gated.open(gate)
    expectSuccess(await site.rollback({ to: 'r1' }))
    expect(site.served('index.html')).toBe('r1')
  })
})
