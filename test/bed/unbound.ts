// A real caching resolver (Unbound) that asks given servers for given zones, so that TTLs are kept as in the world.
import { Resolver } from 'node:dns/promises'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram } from './packages.ts'
import { freePort } from './ports.ts'
import { onFreePorts, serverFolder, startProcess } from './process.ts'

export interface UnboundOptions {
  /** Who is asked for each zone (`example.test`); of several, one at random. */
  zones: Record<string, { address: string; port: number }[]>
  /** Default 127.0.0.1. */
  address?: string
  /** Default: a free one. Several may share one: the kernel hands each question to one of them. */
  port?: number
  /** Its log has a line with the name for each question. */
  logQueries?: boolean
}

export interface Unbound {
  address: string
  port: number
  /** `127.0.0.1:5353`. */
  endpoint: string
  /** Addresses and the TTL that is left of them. */
  query(name: string): Promise<{ address: string; ttl: number }[]>
  /** Of the server, for signals. */
  pid: number
  log(): string
  stop(): Promise<void>
}

export async function startUnbound(options: UnboundOptions): Promise<Unbound> {
  return await onFreePorts(() => start(options))
}

async function start(options: UnboundOptions): Promise<Unbound> {
  const address = options.address ?? '127.0.0.1'
  const port = options.port ?? (await freePort(address))
  const folder = serverFolder('unbound')
  const file = join(folder, 'unbound.conf')
  writeFileSync(file, configuration(options, folder, address, port))
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  resolver.setServers([`${address}:${port}`])
  const { pid, log, stop } = await startProcess({
    name: 'unbound',
    folder,
    command: [findProgram('unbound').path, '-d', '-c', file],
    // Where several share a port, an answer may be another one's.
    ready: async () =>
      readFileSync(join(folder, '.log'), 'utf8').includes('start of service') &&
      (await resolver.resolveSoa(Object.keys(options.zones)[0] ?? '')).serial > 0,
  })
  const query = (name: string) => resolver.resolve4(name, { ttl: true })
  return { address, port, endpoint: `${address}:${port}`, query, pid, log, stop }
}

function configuration(
  { zones, logQueries = false }: UnboundOptions,
  folder: string,
  address: string,
  port: number,
): string {
  const stubs = Object.entries(zones).map(([zone, servers]) => {
    const from = servers.map((server) => `  stub-addr: ${server.address}@${server.port}\n`).join('')
    return `stub-zone:\n  name: ${zone}\n  stub-prime: no\n${from}`
  })
  // Unbound answers for the names of RFC 6761 (test, invalid ...) by itself unless told not to.
  const special = Object.keys(zones).map((zone) => `  local-zone: "${zone.split('.').at(-1)}." nodefault\n`)
  return `server:
  interface: ${address}
  port: ${port}
  access-control: 127.0.0.0/8 allow
  do-ip6: no
  do-not-query-localhost: no
${[...new Set(special)].join('')}  module-config: "iterator"
  directory: "${folder}"
  pidfile: "${folder}/unbound.pid"
  chroot: ""
  username: ""
  use-syslog: no
  log-queries: ${logQueries ? 'yes' : 'no'}
  do-daemonize: no
  # One child, so that each question finds the same cache.
  num-threads: 1
  so-reuseport: yes
  # Nothing from beyond its TTL.
  serve-expired: no
  prefetch: no
remote-control:
  control-enable: no
${stubs.join('')}`
}
