// The cases of the inputs that the three Consul actions have in common.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import { startConsul } from '../bed/consul.ts'
import { freePort } from '../bed/ports.ts'
import type { ActionResult } from '../harness/action-result.ts'
import { startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess, type InputCases } from '../harness/input-cases.ts'
import { type ConsulBed, VALUE } from './consul-bed.ts'
import { startCountingServer } from './health-input-cases.ts'
import { sshInputCases } from './ssh-input-cases.ts'
import { certificate, startTlsFront } from './tls-front.ts'

export type RunWith = (overrides: Record<string, string>) => Promise<ActionResult>

const DRY = { 'dry-run': 'true' }

/**
 * `inputs()` are those by which the action succeeds on the bed (its first node, and one more in Consul), `run` runs
 * it with others over them.
 */
export function consulInputCases(
  action: string,
  bed: () => ConsulBed,
  inputs: () => Record<string, string>,
  run: RunWith,
): InputCases {
  const dead = async () => `u@127.0.0.1:${await freePort()}`
  return {
    'consul-url': async () => {
      const url = `http://127.0.0.1:${await freePort()}`
      expectFailure(await run({ 'consul-url': url }), /Consul cannot be reached/, url)
      expectSuccess(await run({ 'consul-url': `${url}\n${bed().consul.url}`, ...DRY }))
    },
    'consul-token': async () => {
      const guarded = await startConsul({ acl: true })
      try {
        for (const [key, { value }] of await bed().consul.list('')) await guarded.put(key, value)
        const keys = ['upstreams/app/', 'evenkeel/upstreams/app/']
        const rules = keys.map((key) => `key_prefix "${key}" { policy = "write" }`).join('\n')
        const token = await guarded.tokenFor(`${rules}\nsession_prefix "" { policy = "write" }`)
        expectFailure(
          await run({ 'consul-url': guarded.url, ...DRY }),
          /Consul denies reading the keys below|denies access/,
        )
        const result = await run({ 'consul-url': guarded.url, 'consul-token': token, ...DRY })
        expectSuccess(result)
        expect(result.masks).toContain(token)
      } finally {
        await guarded.stop()
      }
    },
    'consul-ca': async () => {
      const front = await startTlsFront(bed().consul.url)
      try {
        expectFailure(
          await run({ 'consul-url': front.url, ...DRY }),
          /cannot be reached/,
          /self-signed|certificate/,
        )
        expectSuccess(await run({ 'consul-url': front.url, 'consul-ca': certificate, ...DRY }))
      } finally {
        front.stop()
      }
    },
    'consul-from': async () => {
      const from = await dead()
      expectFailure(await run({ 'consul-from': from }), `${from}: cannot connect`)
      const { user, host, port } = bed().sshd
      expectSuccess(await run({ 'consul-from': `${user}@${host}:${port}`, ...DRY }))
    },
    upstream: async () => {
      expectFailure(
        await run({ upstream: 'upstreams/nothing' }),
        'Consul has no nodes below upstreams/nothing/',
      )
    },
    'lb-status': async () => {
      const server = await startCountingServer(200, 'hello')
      try {
        expectFailure(
          await run({ 'lb-status': server.url, ...DRY }),
          /status page .* cannot be used/,
          server.url,
        )
      } finally {
        await server.stop()
      }
    },
    'lb-from': async () => {
      const from = await dead()
      expectFailure(await run({ 'lb-from': from }), `${from}: cannot connect`)
    },
    'lb-interval': async () => {
      const result = await run({ 'lb-status': '', 'lb-interval': '40ms' })
      expect(result.log).toMatch(/waiting 2\.0 s for the load balancers/)
    },
    'lease-ttl': async () => {
      expectFailure(await run({ 'lease-ttl': '9s' }), /`lease-ttl` is '9s'/)
      const started = startAction({ action, inputs: { ...inputs(), 'lease-ttl': '77s' } })
      await started.waitForLog(/lease of upstreams\/app taken/)
      const { text } = await bed().consul.call('GET', '/v1/session/list')
      expect(JSON.parse(text)).toMatchObject([
        { TTL: '77000ms', Behavior: 'release', LockDelay: 1_000_000_000 },
      ])
      await started.cancel()
    },
    'lock-wait': async () => {
      const { consul } = bed()
      const made = await consul.call(
        'PUT',
        '/v1/session/create',
        JSON.stringify({ TTL: '60s', Checks: [], LockDelay: '1ms' }),
      )
      const { ID } = JSON.parse(made.text) as { ID: string }
      const lock = '/v1/kv/evenkeel/upstreams/app/lock'
      await consul.call('PUT', `${lock}?acquire=${ID}`, JSON.stringify({ holder: 'a test' }))
      try {
        const result = await run({ 'lock-wait': '1500ms' })
        expectFailure(result, /another run holds the lease/, /a test/)
        expect(result.log).toContain('waiting for the lease, held by a test')
        expect((await run({ 'lock-wait': '0s' })).log).not.toContain('waiting for the lease')
      } finally {
        await consul.call('PUT', `/v1/session/destroy/${ID}`)
        await consul.delete('evenkeel/upstreams/app/lock')
      }
    },
    'dry-run': async () => {
      const before = await bed().everything()
      expectSuccess(await run(DRY))
      expect(await bed().everything()).toBe(before)
    },
  }
}

/** The SSH inputs where the login is that of the first node. */
export function nodeSshCases(bed: () => ConsulBed, run: RunWith): InputCases {
  const { host: _, ...cases } = sshInputCases(
    () => bed().sshd,
    ({ host, ...overrides }) => {
      const nodes = host === undefined ? {} : { nodes: `${bed().apps[0]!.address} ${host}` }
      return run({ ...overrides, ...nodes })
    },
  )
  return cases
}

export interface NodeHealth {
  /** With `{port}` in it: each node is answered by itself. */
  url: string
  /** Requests about one node. */
  requests: (port: number) => number
  stop(): Promise<void>
}

/** Says how nodes are: the one with this port by `status`, the others well. */
export async function startNodeHealth(port: number, status: number): Promise<NodeHealth> {
  const counts = new Map<number, number>()
  const server = createServer((request, response) => {
    const asked = Number((request.url ?? '').slice(1))
    counts.set(asked, (counts.get(asked) ?? 0) + 1)
    response.writeHead(asked === port ? status : 200).end('as told')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/{port}`,
    requests: (asked) => counts.get(asked) ?? 0,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Everything as it was at the start of the bed, whatever the case before has left. */
export async function resetBed({ consul, apps, key }: ConsulBed): Promise<void> {
  for (const name of (await consul.list('evenkeel/')).keys()) await consul.delete(name)
  for (const app of apps) if ((await consul.get(key(app)))?.value !== VALUE) await consul.put(key(app), VALUE)
}
