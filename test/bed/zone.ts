// What BIND and Knot have in common in the test bed: zone files, TSIG keys, questions, and changes by nsupdate.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { promisify } from 'node:util'
import { findProgram } from './packages.ts'
import type { RecordSet } from './powerdns.ts'

const run = promisify(execFile)

export interface TsigKey {
  name: string
  /** `hmac-sha256` and the like. */
  algorithm: string
  /** Base64. */
  secret: string
}

/** Which record sets a key may change; both lists empty: all of the zone. */
export interface UpdatePolicy {
  key: TsigKey
  /** Relative to the zone, `@` for the apex. */
  names?: string[]
  types?: string[]
}

export interface ZoneServer {
  /** Where it answers queries and takes updates, over UDP and TCP. */
  address: string
  port: number
  /** `<address>:<port>` */
  endpoint: string
  /** Values and TTL of a name's addresses by a DNS query; empty when there are none. */
  query(name: string, type?: 'A' | 'AAAA'): Promise<{ address: string; ttl: number }[]>
  /** Values of a name in the zone by a DNS query, sorted; empty when there are none. */
  values(zone: string, name: string, type: 'A' | 'AAAA' | 'CNAME'): Promise<string[]>
  /** The zone's SOA serial by a DNS query. */
  serial(zone: string): Promise<number>
  /** Of the server, for signals. */
  pid: number
  log(): string
  stop(): Promise<void>
}

export function makeTsigKey(name = 'evenkeel', algorithm = 'hmac-sha256'): TsigKey {
  return { name, algorithm, secret: randomBytes(32).toString('base64') }
}

/** A zone file with SOA, NS and the name servers' addresses added. */
export function zoneFile(zone: string, sets: RecordSet[], nameServers: string[]): string {
  const own = nameServers.flatMap((address, index) => [
    `@ 300 IN NS ns${index + 1}`,
    `ns${index + 1} 300 IN A ${address}`,
  ])
  const lines = sets.flatMap(({ name, type, ttl = 300, values }) =>
    values.map((value) => `${name} ${ttl} IN ${type} ${value}`),
  )
  const soa = '@ 300 IN SOA ns1 hostmaster 1 10800 3600 604800 3600'
  return `$ORIGIN ${zone}.\n${[soa, ...own, ...lines].join('\n')}\n`
}

/** Questions to one server. */
export function questions(address: string, port: number): Pick<ZoneServer, 'query' | 'values' | 'serial'> {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  resolver.setServers([`${address}:${port}`])
  const none = (error: NodeJS.ErrnoException): [] => {
    if (['ENOTFOUND', 'ENODATA'].includes(error.code ?? '')) return []
    throw error
  }
  return {
    query: async (name, type = 'A') =>
      await (type === 'A'
        ? resolver.resolve4(name, { ttl: true })
        : resolver.resolve6(name, { ttl: true })
      ).catch(none),
    values: async (zone, name, type) =>
      (await resolver.resolve(absolute(name, zone), type).catch(none)).map(String).sort(),
    serial: async (zone) => (await resolver.resolveSoa(zone)).serial,
  }
}

/**
 * Replaces a record set through a dynamic update by BIND's own client, as somebody else would.
 * @throws Error with what nsupdate says, when the server does not take it.
 */
export async function replaceByUpdate(
  server: { address: string; port: number },
  key: TsigKey,
  zone: string,
  { name, type, ttl = 300, values }: RecordSet,
): Promise<void> {
  const full = `${absolute(name, zone)}.`
  const lines = [
    `server ${server.address} ${server.port}`,
    `zone ${zone}`,
    `key ${key.algorithm}:${key.name} ${key.secret}`,
    `update delete ${full} ${type}`,
    ...values.map((value) => `update add ${full} ${ttl} ${type} ${value}`),
    'send',
  ]
  const done = run(findProgram('nsupdate').path, ['-v'], { timeout: 15_000 })
  done.child.stdin?.end(`${lines.join('\n')}\n`)
  await done
}

/** Without the final dot. */
export function absolute(name: string, zone: string): string {
  if (name === '@') return zone
  return name.endsWith('.') ? name.slice(0, -1) : `${name}.${zone}`
}
