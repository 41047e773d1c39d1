// A real Consul: one development server, or a cluster of three.
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram } from './packages.ts'
import { freePorts } from './ports.ts'
import { onFreePorts, type Running, serverFolder, startProcess, until } from './process.ts'

export interface Kv {
  value: string
  modifyIndex: number
  lockIndex: number
  session?: string
}

/** What is asked by tests and changed behind the suite's back. Needs no token of the suite. */
export interface ConsulClient {
  /** `http://127.0.0.1:8500`, without a final slash. */
  url: string
  put(key: string, value: string): Promise<void>
  get(key: string): Promise<Kv | undefined>
  /** Keys under a prefix with their values, sorted. */
  list(prefix: string): Promise<Map<string, Kv>>
  delete(key: string): Promise<void>
  /** Any request, with the management token if there is one. */
  call(method: string, path: string, body?: string): Promise<{ status: number; text: string }>
}

export interface Consul extends ConsulClient {
  /** `https://127.0.0.1:8501`; undefined without `tls`. */
  tlsUrl: string | undefined
  /** The management token; undefined without `acl`. */
  token: string | undefined
  /** A token with these rules, such as `key_prefix "upstreams/" { policy = "write" }`. */
  tokenFor(rules: string): Promise<string>
  /** Of the server, for signals. */
  pid: number
  log(): string
  stop(): Promise<void>
}

export interface ConsulCluster {
  servers: Consul[]
  /** The index in `servers` of the one that leads now. */
  leader(): Promise<number>
  stop(): Promise<void>
}

interface Ports {
  http: number
  https?: number
  server: number
  lan: number
  wan: number
}

/** Starts one server with an empty store. With `acl` everything is denied but to tokens; with `tls` (PEM texts) it
 * speaks TLS on a port of its own, too; `port` is the HTTP port (default: a free one), as for a Consul that comes
 * back empty. */
export async function startConsul(
  options: { acl?: boolean; port?: number; tls?: { key: string; certificate: string } } = {},
): Promise<Consul> {
  return await onFreePorts(async () => {
    const token = options.acl ? randomUUID() : undefined
    const ports = await choosePorts()
    const [https = 0] = options.tls ? await freePorts(1) : []
    const http = options.port ?? ports.http
    return await startAgent(
      { ...ports, http, ...(options.tls ? { https } : {}) },
      ['-dev', '-node', 'test'],
      token,
      options.tls,
    )
  })
}

/** Starts servers that elect a leader among them; each has its own URL, any of them takes writes. */
export async function startConsulCluster(size = 3): Promise<ConsulCluster> {
  return await onFreePorts(async () => {
    const all: Ports[] = []
    while (all.length < size) all.push(await choosePorts())
    const joins = all.map(({ lan }) => `-retry-join=127.0.0.1:${lan}`)
    const started = await Promise.allSettled(
      all.map((ports, index) =>
        startAgent(ports, [
          '-server',
          `-bootstrap-expect=${size}`,
          `-node=test-${index}`,
          '-retry-interval=1s',
          ...joins,
        ]),
      ),
    )
    const servers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const stop = async (): Promise<void> => {
      await Promise.all(servers.map((server) => server.stop()))
    }
    const failed = started.find((one) => one.status === 'rejected')
    if (failed) {
      await stop()
      throw failed.reason
    }
    const leader = async (): Promise<number> => {
      for (const server of servers) {
        const answer = await server.call('GET', '/v1/status/leader').catch(() => undefined)
        const port = Number(/:(\d+)"/.exec(answer?.text ?? '')?.[1])
        const index = all.findIndex((ports) => ports.server === port)
        if (index >= 0) return index
      }
      throw new Error('the cluster has no leader')
    }
    return { servers, leader, stop }
  })
}

/** Every Consul program of Debian's makes this empty folder when it starts, and never uses it. */
const strayFolder = '/tmp/consul-test'

async function choosePorts(): Promise<Ports> {
  const [http, server, lan, wan] = (await freePorts(4)) as [number, number, number, number]
  return { http, server, lan, wan }
}

async function startAgent(
  ports: Ports,
  args: string[],
  token?: string,
  tls?: { key: string; certificate: string },
): Promise<Consul> {
  const folder = serverFolder('consul')
  if (tls) {
    writeFileSync(join(folder, 'key.pem'), tls.key, { mode: 0o600 })
    writeFileSync(join(folder, 'certificate.pem'), tls.certificate)
  }
  mkdirSync(join(folder, 'data'))
  const settings = {
    disable_update_check: true,
    leave_on_terminate: false,
    connect: { enabled: false },
    performance: { raft_multiplier: 1 },
    ports: {
      http: ports.http,
      ...(ports.https === undefined ? {} : { https: ports.https }),
      server: ports.server,
      serf_lan: ports.lan,
      serf_wan: ports.wan,
      dns: -1,
      grpc: -1,
    },
    ...(tls ? { key_file: join(folder, 'key.pem'), cert_file: join(folder, 'certificate.pem') } : {}),
    ...(token ? { acl: { enabled: true, default_policy: 'deny', tokens: { master: token } } } : {}),
  }
  writeFileSync(join(folder, 'settings.json'), JSON.stringify(settings), { mode: 0o600 })
  const client = consulClient(`http://127.0.0.1:${ports.http}`, token)
  const development = args.includes('-dev')
  const running: Running = await startProcess({
    name: 'consul',
    folder,
    command: [
      findProgram('consul').path,
      'agent',
      ...args,
      ...['-bind', '127.0.0.1', '-client', '127.0.0.1', '-disable-host-node-id'],
      ...(development ? [] : ['-data-dir', join(folder, 'data')]),
      ...['-config-file', join(folder, 'settings.json')],
    ],
    ready: async () => {
      const answer = await client.call('PUT', '/v1/kv/test-bed-is-ready', 'yes')
      return answer.status === 200 && answer.text.trim() === 'true'
    },
    deadline: 30_000,
  })
  removeEmpty(strayFolder)
  // Another server of the cluster may already have deleted it; then it is gone all the same.
  await until('the probe key is gone', async () => {
    await client.delete('test-bed-is-ready')
    return true
  })
  const tokenFor = async (rules: string): Promise<string> => {
    const name = `test-${randomUUID()}`
    await expectOk(client, 'PUT', '/v1/acl/policy', JSON.stringify({ Name: name, Rules: rules }))
    const made = await expectOk(
      client,
      'PUT',
      '/v1/acl/token',
      JSON.stringify({ Policies: [{ Name: name }] }),
    )
    return (JSON.parse(made) as { SecretID: string }).SecretID
  }
  const tlsUrl = ports.https === undefined ? undefined : `https://127.0.0.1:${ports.https}`
  return { ...client, tlsUrl, token, tokenFor, pid: running.pid, log: running.log, stop: running.stop }
}

function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // Another Consul's start removed it already, or somebody does use it.
  }
}

/** The key-value part of Consul's HTTP API; keys are sent with their slashes as they are. */
export function consulClient(url: string, token?: string): ConsulClient {
  const call: ConsulClient['call'] = async (method, path, body) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: token ? { 'X-Consul-Token': token } : {},
      signal: AbortSignal.timeout(10_000),
      ...(body === undefined ? {} : { body }),
    })
    return { status: response.status, text: await response.text() }
  }
  const path = (key: string): string => `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`
  const read = async (target: string): Promise<Map<string, Kv>> => {
    const { status, text } = await call('GET', target)
    if (status === 404) return new Map()
    if (status !== 200) throw new Error(`GET ${target}: ${status} ${text}`)
    const rows = JSON.parse(text) as KvRow[]
    return new Map(rows.map((row) => [row.Key, kvOf(row)]))
  }
  const client: ConsulClient = {
    url,
    call,
    put: async (key, value) => {
      const text = await expectOk(client, 'PUT', path(key), value)
      if (text.trim() !== 'true') throw new Error(`PUT ${key}: ${text}`)
    },
    get: async (key) => (await read(path(key))).get(key),
    list: async (prefix) => await read(`${path(prefix)}?recurse`),
    delete: async (key) => {
      await expectOk(client, 'DELETE', path(key))
    },
  }
  return client
}

interface KvRow {
  Key: string
  Value: string | null
  ModifyIndex: number
  LockIndex: number
  Session?: string
}

function kvOf(row: KvRow): Kv {
  const value = Buffer.from(row.Value ?? '', 'base64').toString()
  const known = { value, modifyIndex: row.ModifyIndex, lockIndex: row.LockIndex }
  return row.Session ? { ...known, session: row.Session } : known
}

async function expectOk(client: ConsulClient, method: string, path: string, body?: string): Promise<string> {
  const { status, text } = await client.call(method, path, body)
  if (status !== 200) throw new Error(`${method} ${path}: ${status} ${text}`)
  return text
}
