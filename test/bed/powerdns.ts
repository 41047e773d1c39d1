// A real PowerDNS authoritative server with its HTTP API.
import { randomUUID } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileOf, findProgram } from './packages.ts'
import { freePorts } from './ports.ts'
import { onFreePorts, serverFolder, startProcess } from './process.ts'
import { absolute as plainName, type UpdatePolicy } from './zone.ts'

export interface RecordSet {
  /** Relative to its zone, `@` for the apex, or with a final dot. */
  name: string
  type: string
  /** Default 300. */
  ttl?: number
  values: string[]
}

export interface PowerDnsOptions {
  /** Record sets by zone (`example.test`); SOA, NS and the name server's address are added. */
  zones: Record<string, RecordSet[]>
  /** Default 127.0.0.1. */
  address?: string
  /** Who may change what by dynamic updates (RFC 2136); default: nobody. */
  updates?: UpdatePolicy[]
}

export interface PowerDns {
  /** `http://127.0.0.1:8081`, without a final slash or path. */
  apiUrl: string
  apiKey: string
  /** Where it answers queries, over UDP and TCP. */
  address: string
  port: number
  /** Addresses and their TTL by a DNS query; empty when the name or its addresses do not exist. */
  query(name: string, type?: 'A' | 'AAAA'): Promise<{ address: string; ttl: number }[]>
  /** The zone's SOA serial by a DNS query. */
  serial(zone: string): Promise<number>
  /** A record set through the API, undefined if there is none. */
  recordSet(zone: string, name: string, type: string): Promise<{ ttl: number; values: string[] } | undefined>
  /** Writes a record set through the API, as somebody else would. */
  replace(zone: string, set: RecordSet): Promise<void>
  /** Of the server, for signals. */
  pid: number
  log(): string
  stop(): Promise<void>
}

export async function startPowerDns(options: PowerDnsOptions): Promise<PowerDns> {
  return await onFreePorts(() => start(options))
}

async function start(options: PowerDnsOptions): Promise<PowerDns> {
  const address = options.address ?? '127.0.0.1'
  const [port, apiPort] = (await freePorts(2, address)) as [number, number]
  const apiKey = randomUUID()
  const folder = serverFolder('pdns')
  mkdirSync(join(folder, 'sockets'))
  const program = findProgram('pdns_server')
  const database = join(folder, 'zones.sqlite')
  const schema = fileOf(program, 'usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql')
  const made = new DatabaseSync(database)
  made.exec(readFileSync(schema, 'utf8'))
  for (const { key } of options.updates ?? [])
    made
      .prepare('INSERT INTO tsigkeys (name, algorithm, secret) VALUES (?, ?, ?)')
      .run(key.name, key.algorithm, key.secret)
  made.close()
  const settings = {
    launch: 'gsqlite3',
    'gsqlite3-database': database,
    'module-dir': dirname(fileOf(program, 'usr/lib/*/pdns/libgsqlite3backend.so')),
    'local-address': address,
    'local-port': port,
    'socket-dir': join(folder, 'sockets'),
    api: 'yes',
    'api-key': apiKey,
    webserver: 'yes',
    'webserver-address': address,
    'webserver-port': apiPort,
    'webserver-allow-from': '127.0.0.0/8',
    daemon: 'no',
    guardian: 'no',
    // What is written shows in the next answer.
    'cache-ttl': 0,
    'query-cache-ttl': 0,
    'negquery-cache-ttl': 0,
    'domain-metadata-cache-ttl': 0,
    'enable-lua-records': 'yes',
    ...(options.updates ? updateSettings(folder, Object.keys(options.zones), options.updates) : {}),
    'default-soa-content': 'ns1.@ hostmaster.@ 1 10800 3600 604800 3600',
  }
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(join(folder, 'pdns.conf'), lines.join(''), { mode: 0o600 })
  const apiUrl = `http://${address}:${apiPort}`
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  resolver.setServers([`${address}:${port}`])
  const api = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${apiUrl}/api/v1/servers/localhost${path}`, {
      method,
      headers: { 'X-API-Key': apiKey, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`PowerDNS: ${method} ${path}: ${response.status} ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }
  const running = await startProcess({
    name: 'pdns_server',
    folder,
    command: [program.path, `--config-dir=${folder}`],
    ready: async () => {
      await api('GET', '')
      return true
    },
  })
  const rrset = (zone: string, { name, type, ttl = 300, values }: RecordSet): unknown => ({
    name: absolute(name, zone),
    type,
    ttl,
    changetype: 'REPLACE',
    records: values.map((content) => ({ content, disabled: false })),
  })
  try {
    for (const [zone, sets] of Object.entries(options.zones)) {
      const own: RecordSet[] = [{ name: 'ns1', type: 'A', values: [address] }]
      await api('POST', '/zones', {
        name: `${zone}.`,
        kind: 'Native',
        nameservers: [`ns1.${zone}.`],
        rrsets: [...own, ...sets].map((set) => rrset(zone, set)),
      })
      if (options.updates) allowUpdates(database, zone, options.updates)
    }
  } catch (error) {
    await running.stop()
    throw error
  }
  return {
    apiUrl,
    apiKey,
    address,
    port,
    query: async (name, type = 'A') => {
      try {
        return type === 'A'
          ? await resolver.resolve4(name, { ttl: true })
          : await resolver.resolve6(name, { ttl: true })
      } catch (error) {
        if (['ENOTFOUND', 'ENODATA'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
        throw error
      }
    },
    serial: async (zone) => (await resolver.resolveSoa(zone)).serial,
    recordSet: async (zone, name, type) => {
      const { rrsets } = (await api('GET', `/zones/${zone}.`)) as { rrsets: ApiRecordSet[] }
      const found = rrsets.find((set) => set.name === absolute(name, zone) && set.type === type)
      return found && { ttl: found.ttl, values: found.records.map(({ content }) => content).sort() }
    },
    replace: async (zone, set) => {
      await api('PATCH', `/zones/${zone}.`, { rrsets: [rrset(zone, set)] })
    },
    pid: running.pid,
    log: running.log,
    stop: running.stop,
  }
}

/** Updates are on, and a script lets pass what is allowed to a key; the others are passed over without an error. */
function updateSettings(folder: string, zones: string[], updates: UpdatePolicy[]): Record<string, string> {
  const rules = updates.flatMap(({ key, names, types = ['A', 'AAAA', 'CNAME'] }) => {
    const known = `input:getTsigName() == newDN("${key.name}")`
    if (names === undefined) return [known]
    const wanted = types.map((type) => `input:getQType() == pdns.${type}`).join(' or ')
    return zones
      .flatMap((zone) => names.map((name) => plainName(name, zone)))
      .map((name) => `${known} and input:getQName() == newDN("${name}") and (${wanted})`)
  })
  const script = join(folder, 'policy.lua')
  const lines = rules.map((rule) => `  if ${rule} then return true end\n`)
  writeFileSync(script, `function updatepolicy(input)\n${lines.join('')}  return false\nend\n`)
  return { dnsupdate: 'yes', 'allow-dnsupdate-from': '127.0.0.0/8', 'lua-dnsupdate-policy-script': script }
}

/** The API does not let this kind of metadata be written. */
function allowUpdates(database: string, zone: string, updates: UpdatePolicy[]): void {
  const opened = new DatabaseSync(database)
  try {
    opened.exec('PRAGMA busy_timeout = 5000')
    for (const { key } of updates)
      opened
        .prepare(
          "INSERT INTO domainmetadata (domain_id, kind, content) SELECT id, 'TSIG-ALLOW-DNSUPDATE', ? FROM domains WHERE name = ?",
        )
        .run(key.name, zone)
  } finally {
    opened.close()
  }
}

interface ApiRecordSet {
  name: string
  type: string
  ttl: number
  records: { content: string }[]
}

const absolute = (name: string, zone: string): string => `${plainName(name, zone)}.`
