// The line breaks when all is well and nobody has said so yet.
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startLine } from './static-line.ts'
import { secondHost } from './static-pair.ts'
import { StaticSite } from './static-site.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())

function newSite(): StaticSite {
  const site = new StaticSite(sshd)
  onTestFinished(() => site.remove())
  return site
}

/** The way to a server, and inputs by which its site is found healthy just after that way has broken. */
async function brokenOnceHealthy(to: Sshd) {
  const line = await startLine(to)
  const asked = createServer((_request, response) => {
    line.cut()
    response.end('well')
  })
  await new Promise<void>((resolve) => asked.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    line.close()
    asked.close()
  })
  const health = {
    'health-url': `http://127.0.0.1:${(asked.address() as AddressInfo).port}/`,
    'health-from': 'runner',
    'healthy-threshold': '1',
  }
  return { line, health }
}

const notes = (root: string) => readdirSync(join(root, 'releases/.evenkeel'))

test('one host: the failure says how it stands, and the settle step goes back', async () => {
  const site = newSite()
  expectSuccess(await site.upload('r1'))
  site.write({ 'index.html': 'two' })
  const { line, health } = await brokenOnceHealthy(sshd)
  const result = await site.upload('r2', { ...line.inputs, ...health })
  expectFailure(
    result,
    /127\.0\.0\.1:\d+: release r2 could not be confirmed/,
    /the release is active and was found healthy on \S+; on \S+ it is not known to be confirmed/,
  )
  expect(result.log).toContain('repaired, it serves release r1')
  expect(site.current).toBe('releases/r1')
  expect(notes(site.target)).not.toContain('pending')
  expectSuccess(await site.upload('r2'))
  expect(site.current).toBe('releases/r2')
})

test('two hosts, one of which has confirmed: the settle step confirms it on the other', async () => {
  const site = newSite()
  const { sshd: second, both, links, folder } = await secondHost(site)
  expectSuccess(await site.upload('r1', both))
  site.write({ 'index.html': 'two' })
  const { line, health } = await brokenOnceHealthy(second)
  const [first] = both.host.split('\n')
  const hosts = {
    host: `${first}\n${line.inputs['host']}`,
    'known-hosts': `${both['known-hosts']}${line.inputs['known-hosts']}`,
  }
  const result = await site.upload('r2', { ...hosts, ...health })
  const far = line.inputs['host']
  expectFailure(
    result,
    `${far}: release r2 could not be confirmed`,
    `found healthy on ${first}, ${far}; on ${far} it is not known to be confirmed`,
  )
  expect(result.log).toContain(`${far}: repaired, it serves release r2`)
  expect(links()).toEqual(['releases/r2', 'releases/r2'])
  for (const root of [site.target, folder]) expect(notes(root)).not.toContain('pending')
})
