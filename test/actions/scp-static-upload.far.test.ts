// A server far away: few round trips, and much at once.
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startSshd } from '../bed/sshd.ts'
import { startDelayingProxy } from '../bench/delaying-proxy.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { StaticSite, treeOf } from './static-site.ts'

async function farSite(oneWayMs: number) {
  const sshd = await startSshd()
  const proxy = await startDelayingProxy(sshd, oneWayMs)
  const through = sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${proxy.port} `)
  const site = new StaticSite({ ...sshd, knownHostsLines: `${sshd.knownHostsLines}${through}` })
  onTestFinished(async () => {
    proxy.stop()
    await sshd.stop()
    site.remove()
  })
  return { site, proxy, far: `${sshd.user}@127.0.0.1:${proxy.port}` }
}

test('large files travel in parts, over several connections, and are whole again', async () => {
  // Only through a jump host is the way's length seen: what listens on this machine is near.
  const { site, far } = await farSite(35)
  const large = { 'large.bin': randomBytes(70_000_000), "sub/it's $(id).bin": randomBytes(34_000_000) }
  site.write({ ...large, 'sub/page.html': 'page' })
  const result = await site.upload('r1', { jump: far })
  expectSuccess(result)
  expect(result.log).toContain('6 lanes')
  const served = join(site.target, 'current/')
  expect(treeOf(served)).toEqual(treeOf(site.source))
  const times = [...Object.keys(large), 'sub/page.html'].map((path) => statSync(join(served, path)).mtimeMs)
  expect(new Set(times).size).toBe(1)
})

test.each([
  ['20', 'gzip'],
  ['24', 'zstd'],
] as const)('what shrinks is compressed, on Node %s by %s', async (node, codec) => {
  const { site, far } = await farSite(5)
  site.write({ 'index.html': 'one', 'words.txt': 'the same words again and again. '.repeat(1_000_000) })
  const result = await site.upload('r1', { jump: far }, { node })
  expectSuccess(result)
  // A server without zstd gets what it has.
  expect(result.log).toMatch(new RegExp(`\\((${codec}|gzip), 3 lanes\\)`))
  expect(Number(result.outputs['bytes-sent'])).toBeLessThan(2_000_000)
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
})

test('an upload of what changed takes few round trips', async () => {
  const { site, proxy, far } = await farSite(50)
  const host = { host: far }
  expectSuccess(await site.upload('r1', host))
  site.write({ 'index.html': 'two' })
  proxy.turns = []
  expectSuccess(await site.upload('r2', host))
  // Both ends' names, keys, the login with two channels, their commands, what is there, what is sent, the goodbye.
  expect(proxy.turns.length).toBeLessThanOrEqual(9)
  expect(site.served('index.html')).toBe('two')
})
