// Two hosts: whatever befalls one of them, or the run between them, they end with the same release.
import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { until } from '../bed/process.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type Gate, type GatedSshd, startGatedSshd } from './static-gates.ts'
import { startLine } from './static-line.ts'
import { type SecondHost, secondHost } from './static-pair.ts'
import { StaticSite, treeOf } from './static-site.ts'

let gated: GatedSshd

beforeAll(async () => {
  gated = await startGatedSshd()
})
afterAll(() => gated?.stop())

const OLD = ['releases/old', 'releases/old']
const NEW = ['releases/new', 'releases/new']

/** Both serve `old`, and what is to be `new` lies ready. */
async function pairWithUpdate(): Promise<{ site: StaticSite; second: SecondHost; roots: string[] }> {
  const site = new StaticSite(gated.sshd)
  onTestFinished(() => site.remove())
  const second = await secondHost(site)
  expectSuccess(await site.upload('old', second.both))
  site.write({ 'index.html': 'two' })
  return { site, second, roots: [site.target, second.folder] }
}

const noted = (root: string, path: string) => existsSync(join(root, 'releases/.evenkeel', path))

test('one cannot activate it: the other goes back, too', async () => {
  const { site, second } = await pairWithUpdate()
  writeFileSync(join(second.folder, 'broken'), '')
  const hook = 'if [ -e ../../broken ]; then rm -rf "$PWD"; fi'
  const result = await site.upload('new', { ...second.both, 'before-activate': hook })
  expectFailure(
    result,
    /127\.0\.0\.2:\d+: releases\/new is not there/,
    /State now: .*127\.0\.0\.1:\d+ serves release old; .*127\.0\.0\.2:\d+ serves release old/,
  )
  expect(second.links()).toEqual(OLD)
  expect(noted(site.target, 'meta/new/failed')).toBe(true)
})

describe('one is not healthy: neither has changed in the end', () => {
  const health = { 'health-command': 'test ! -e sick', 'health-timeout': '500ms' }

  test('after an upload', async () => {
    const { site, second, roots } = await pairWithUpdate()
    writeFileSync(join(second.folder, 'sick'), '')
    const result = await site.upload('new', { ...second.both, ...health })
    expectFailure(result, /127\.0\.0\.2:\d+: release new is not healthy/, /serves release old; .* old/)
    expect(second.links()).toEqual(OLD)
    for (const root of roots) expect(noted(root, 'meta/new/failed')).toBe(true)
  })

  test('after a rollback', async () => {
    const { site, second } = await pairWithUpdate()
    expectSuccess(await site.upload('new', second.both))
    writeFileSync(join(second.folder, 'sick'), '')
    const result = await site.rollback({ ...second.both, ...health })
    expectFailure(result, /127\.0\.0\.2:\d+: release old is not healthy/, /serves release new; .* new/)
    expect(second.links()).toEqual(NEW)
  })
})

test('all are sent to at the same time', async () => {
  const { site, second } = await pairWithUpdate()
  const both = [gated, second.gated]
  for (const host of both) host.close('tar')
  onTestFinished(() => gated.open('tar'))
  const run = site.startUpload('new', second.both)
  await Promise.all(both.map((host) => host.reached('tar')))
  second.gated.open('tar')
  await until('the second has all', () => existsSync(join(second.folder, 'releases/new')))
  expect(existsSync(join(site.target, 'releases/new'))).toBe(false)
  expect(second.links()).toEqual(OLD)
  gated.open('tar')
  expectSuccess(await run.result)
  expect(second.links()).toEqual(NEW)
})

test('a dry run changes neither', async () => {
  const { site, second, roots } = await pairWithUpdate()
  const before = roots.map((root) => treeOf(root))
  const upload = await site.upload('new', { ...second.both, 'dry-run': 'true' })
  expectSuccess(upload)
  expect(upload.log.match(/1 changed/g)).toHaveLength(2)
  expectSuccess(await site.rollback({ ...second.both, to: 'old', 'dry-run': 'true' }))
  expect(roots.map((root) => treeOf(root))).toEqual(before)
})

describe('a run dies between the two, and the next one tells and brings them together', () => {
  /** What the second one's server holds there is not let go: its time is over. */
  async function next({ site, second }: Awaited<ReturnType<typeof pairWithUpdate>>) {
    const past = Date.now() / 1000 - 300
    utimesSync(join(second.folder, 'releases/.evenkeel/beat'), past, past)
    const inputs = { ...second.both, 'before-activate': 'exit 3', 'lock-wait': '20s' }
    return site.upload('newer', inputs)
  }

  test('none has confirmed: they go back', async () => {
    const pair = await pairWithUpdate()
    const { site, second, roots } = pair
    second.gated.close('mv')
    const dead = site.startUpload('new', second.both)
    await second.gated.reached('mv')
    await until('the first has it', () => site.current === 'releases/new')
    await dead.lostRunner()
    expect(second.links()).toEqual(['releases/new', 'releases/old'])
    const after = await next(pair)
    expectFailure(after, /exit code 3/)
    expect(after.log).toMatch(/an earlier run died .*1:\d+ serves release new; .*2:\d+ serves release old/)
    expect(after.log).toMatch(/127\.0\.0\.1:\d+: repaired, it serves release old/)
    expect(second.links()).toEqual(OLD)
    for (const root of roots) expect(noted(root, 'pending')).toBe(false)
  })

  test('one has confirmed: the other follows', async () => {
    const pair = await pairWithUpdate()
    const { site, second, roots } = pair
    second.gated.close('confirm')
    const dead = site.startUpload('new', second.both)
    await second.gated.reached('confirm')
    await until('the first has confirmed', () => noted(site.target, 'meta/new/good'))
    await until('and forgot the way back', () => !noted(site.target, 'pending'))
    await dead.lostRunner()
    const after = await next(pair)
    expectFailure(after, /exit code 3/)
    expect(after.log).toMatch(/an earlier run died .*1:\d+ serves release new; .*2:\d+ serves release new/)
    expect(after.log).toMatch(/127\.0\.0\.2:\d+: repaired, it serves release new/)
    expect(second.links()).toEqual(NEW)
    for (const root of roots) expect(noted(root, 'pending')).toBe(false)
  })
})

describe.each([
  'cp',
  'tar',
  'mv',
  'swapped',
] as const)('broken off while the second is at: %s', (gate: Gate) => {
  test.each(['kill -9', 'cut'])('%s: both are old, and new after the same upload', async (way) => {
    const { site, second, roots } = await pairWithUpdate()
    const line = await startLine(second.sshd)
    onTestFinished(() => line.close())
    const [first] = second.both.host.split('\n')
    const hosts = {
      host: `${first}\n${line.inputs['host']}`,
      'known-hosts': `${second.both['known-hosts']}${line.inputs['known-hosts']}`,
    }
    second.gated.close(gate)
    const run = site.startUpload('new', hosts)
    await second.gated.reached(gate)
    const isActivating = gate === 'mv' || gate === 'swapped'
    if (isActivating) await until('the first has it', () => site.current === 'releases/new')
    if (way === 'cut') line.cut()
    else run.kill9()
    const { conclusion, log } = await run.result
    expect(conclusion, log).toBe('failure')
    expect(second.links()).toEqual(OLD)
    // Where nothing was activated, the step's own failure says so.
    if (isActivating || way === 'kill -9') expect(log).toMatch(/127\.0\.0\.1:\d+ serves release old/)
    second.gated.open(gate)
    expectSuccess(await site.upload('new', { ...second.both, 'lock-wait': '20s' }))
    expect(second.links()).toEqual(NEW)
    for (const root of roots) {
      expect(noted(root, 'pending')).toBe(false)
      expect(readdirSync(join(root, 'releases/.evenkeel/staging'))).toEqual([])
    }
  })
})
