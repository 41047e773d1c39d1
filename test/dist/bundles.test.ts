// The committed bundles: what lies in dist/, and that each one truly logs in or makes its HTTP call.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sshInputs } from '../actions/ssh-input-cases.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { repositoryRoot } from '../harness/action-file.ts'
import { runAction } from '../harness/action-run.ts'
import { expectSuccess } from '../harness/input-cases.ts'

const dist = join(repositoryRoot, 'dist')
const MAX_BYTES = 3_000_000

let sshd: Sshd
let web: Server
let webRequests: string[]
let scene: string

beforeAll(async () => {
  scene = mkdtempSync(join(tmpdir(), 'evenkeel-dist-'))
  writeFileSync(join(scene, 'index.html'), 'x')
  sshd = await startSshd()
  web = createServer((request, response) => {
    webRequests.push(request.url ?? '')
    response.writeHead(418).end('no')
  })
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  web?.close()
  await sshd?.stop()
  rmSync(scene, { recursive: true, force: true })
})

/** Inputs that bring each bundle as far as its first login or request; what comes of it does not matter here. */
const firstContact: Record<string, (url: string) => Record<string, string>> = {
  'wait-healthy': () => ({ ...sshInputs(sshd), 'health-command': 'true' }),
  'scp-static-upload': () => ({
    ...sshInputs(sshd),
    source: scene,
    target: join(scene, 'www'),
    'dry-run': 'true',
  }),
  'static-rollback': () => ({ ...sshInputs(sshd), target: join(scene, 'www'), 'dry-run': 'true' }),
  'git-pull-build-up': () => ({ ...sshInputs(sshd), path: join(scene, 'app'), 'dry-run': 'true' }),
  'consul-restart': (url) => ({
    'consul-url': url,
    'private-key': sshd.clientKey.privateKey,
    'known-hosts': sshd.knownHostsLines,
    user: sshd.user,
    upstream: 'upstreams/app',
    restart: 'true',
  }),
  'consul-drain': (url) => ({ 'consul-url': url, upstream: 'upstreams/app', nodes: '127.0.0.1:9' }),
  'consul-undrain': (url) => ({
    'consul-url': url,
    upstream: 'upstreams/app',
    'drain-id': 'evenkeel-00000000-0000-4000-8000-000000000000',
  }),
  'dns-flip': (url) => ({
    provider: 'powerdns',
    'api-url': url,
    token: 'token-of-the-test',
    zone: 'example.test',
    records: 'www A 127.0.0.1 -> 127.0.0.2',
  }),
  'record-deployment': () => ({ environment: 'test', kind: 'static', state: 'in_progress', release: 'v1' }),
  'last-good': () => ({ environment: 'test', kind: 'static' }),
}

test('there is a bundle for each action and no other', () => {
  const actions = readdirSync(join(repositoryRoot, 'src/actions'), { withFileTypes: true })
  const names = actions.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  expect(readdirSync(dist).sort()).toEqual(names.sort())
  expect(Object.keys(firstContact).sort()).toEqual(names.sort())
})

describe.each(readdirSync(dist))('%s', (name) => {
  test('is portable code below 3 MB, with the chunks that it asks for and no other', () => {
    const code = readdirSync(join(dist, name)).filter((file) => file !== 'licenses.txt')
    // Chunks ask for others, and call the same function by another name.
    const needed = new Set(['index.js'])
    for (const file of needed) {
      const text = readFileSync(join(dist, name, file), 'utf8')
      const asked = text.matchAll(/__(?:nccwpck|webpack)_require__\.e\((?:\/\*.*?\*\/ )?(\d+)\)/g)
      for (const [, number] of asked) needed.add(`${number}.index.js`)
    }
    expect(code.sort()).toEqual([...needed].sort())
    const bytes = code.map((file) => statSync(join(dist, name, file)).size)
    expect(bytes.reduce((sum, size) => sum + size)).toBeLessThan(MAX_BYTES)
  })

  test('comes with the licenses of what is in it, each once', () => {
    const text = readFileSync(join(dist, name, 'licenses.txt'), 'utf8')
    const packages = [...text.matchAll(/(?<=^|\n\n)(\S+)\n(?:MIT|ISC|BSD-3-Clause|Apache-2\.0|Unlicense)\n/g)]
    const names = packages.map(([, name]) => name)
    // The HTTP client is a chunk of some bundles and inside of others.
    expect(names).toEqual(expect.arrayContaining(['@actions/core', 'undici']))
    expect(names).toEqual([...new Set(names)].sort())
  })

  test.each(['20', '24'] as const)('reaches its server on Node %s', async (node) => {
    webRequests = []
    const loginsBefore = sshd.log().split('Accepted publickey').length
    const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`
    const inputs = firstContact[name]?.(url) ?? {}
    const result = await runAction({ action: name, inputs, node, github: { api_url: url } })
    const logins = sshd.log().split('Accepted publickey').length - loginsBefore
    expect(logins + webRequests.length, result.log).toBeGreaterThan(0)
    expect(result.log).not.toMatch(/a defect of this action|Cannot find module/)
  })
})

test('chunks are found beside the bundle, wherever that lies', async () => {
  const checkout = join(scene, 'a check out')
  for (const part of ['actions', 'dist/scp-static-upload']) {
    cpSync(join(repositoryRoot, part), join(checkout, part), { recursive: true })
  }
  webRequests = []
  const result = await runAction({
    action: join(checkout, 'actions/scp-static-upload'),
    inputs: {
      ...sshInputs(sshd),
      source: join(repositoryRoot, 'actions'),
      target: join(scene, 'site'),
      'health-url': `http://127.0.0.1:${(web.address() as AddressInfo).port}/health`,
      'expect-status': '418',
    },
  })
  expectSuccess(result)
  expect(webRequests).toContain('/health')
})
