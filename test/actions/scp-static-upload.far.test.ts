// A server far away: few round trips, and much at once.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { expect, onTestFinished, test } from 'vitest'
import { findProgram } from '../bed/packages.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { startDelayingProxy } from '../bench/delaying-proxy.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { farSite } from './static-far.ts'
import { StaticSite, treeOf } from './static-site.ts'

const logins = (server: Sshd) => server.log().split('Accepted publickey').length - 1
const servedOf = (site: StaticSite) => treeOf(join(site.target, 'current/'))

test('large files travel in parts, over several connections, and are whole again', async () => {
  const { site, server, way } = await farSite(35)
  const large = { 'large.bin': randomBytes(70_000_000), "sub/it's $(id).bin": randomBytes(34_000_000) }
  site.write({ ...large, 'sub/page.html': 'page' })
  const result = await site.upload('r1', way)
  expectSuccess(result)
  expect(result.log).toContain('6 lanes)')
  expect(logins(server)).toBe(5)
  expect(servedOf(site)).toEqual(treeOf(site.source))
  const times = [...Object.keys(large), 'sub/page.html'].map(
    (path) => statSync(join(site.target, 'current', path)).mtimeMs,
  )
  expect(new Set(times).size).toBe(1)
})

test.each([
  [1, 2],
  [3, 4],
])('where %i connections are let in, %i lanes bring everything', async (connections, lanes) => {
  const { site, server, line, way } = await farSite(35)
  site.write({ 'large.bin': randomBytes(70_000_000) })
  line.letIn(connections)
  const result = await site.upload('r1', way)
  expectSuccess(result)
  expect(result.log).toContain(`${lanes} of 6 lanes could be opened`)
  expect(result.log).toContain(`, ${lanes} lanes) in`)
  expect(logins(server)).toBe(connections)
  expect(servedOf(site)).toEqual(treeOf(site.source))
})

test('where one connection with two sessions is let in, one lane brings everything', async () => {
  const { site, server, line, way } = await farSite(5, { config: ['MaxSessions 2'] })
  site.write({ 'large.bin': randomBytes(20_000_000) })
  line.letIn(1)
  const result = await site.upload('r1', way)
  expectSuccess(result)
  expect(result.log).toContain('1 of 3 lanes could be opened')
  expect(result.log).toContain(', 1 lane) in')
  expect(logins(server)).toBe(1)
  expect(servedOf(site)).toEqual(treeOf(site.source))
})

/** A PATH with all programs of this machine but these. */
function pathWithout(names: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-tools-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const taken = new Set(names)
  for (const from of process.env['PATH']?.split(delimiter) ?? []) {
    for (const name of existsSync(from) ? readdirSync(from) : []) {
      if (taken.has(name)) continue
      taken.add(name)
      symlinkSync(join(from, name), join(folder, name))
    }
  }
  return folder
}

test.each([
  ['20', [], 'gzip', undefined],
  ['20', ['gzip'], 'none', 'there is no gzip there: nothing is compressed'],
  ['24', [], 'zstd', undefined],
  ['24', ['zstd'], 'gzip', 'there is no zstd there: gzip compresses instead'],
  ['24', ['zstd', 'gzip'], 'none', 'there is no zstd there: nothing is compressed'],
] as const)('what shrinks: on Node %s, without %j there, by %s', async (node, missing, codec, note) => {
  // It is one of the programs of the machine, or of the bed.
  findProgram('zstd')
  const { site, way } = await farSite(5, missing.length === 0 ? {} : { env: { PATH: pathWithout(missing) } })
  site.write({ 'index.html': 'one', 'words.txt': 'the same words again and again. '.repeat(1_000_000) })
  const result = await site.upload('r1', way, { node })
  expectSuccess(result)
  expect(result.log).toContain(`(${codec}, 3 lanes) in`)
  if (note === undefined) expect(result.log).not.toMatch(/there is no (zstd|gzip) there/)
  else expect(result.log.split(note)).toHaveLength(2)
  const sent = Number(result.outputs['bytes-sent'])
  if (codec === 'none') expect(sent).toBeGreaterThan(32_000_000)
  else expect(sent).toBeLessThan(2_000_000)
  expect(servedOf(site)).toEqual(treeOf(site.source))
})

test('an upload of what changed takes few round trips', async () => {
  const sshd = await startSshd()
  const proxy = await startDelayingProxy(sshd, 50)
  const there = sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${proxy.port} `)
  const site = new StaticSite({ ...sshd, knownHostsLines: there })
  onTestFinished(async () => {
    proxy.stop()
    await sshd.stop()
    site.remove()
  })
  const host = { host: `${sshd.user}@127.0.0.1:${proxy.port}` }
  expectSuccess(await site.upload('r1', host))
  site.write({ 'index.html': 'two' })
  proxy.turns = []
  expectSuccess(await site.upload('r2', host))
  // Both ends' names, keys, the login with two channels, their commands, what is there, what is sent, the goodbye.
  expect(proxy.turns.length).toBeLessThanOrEqual(9)
  expect(site.served('index.html')).toBe('two')
})
