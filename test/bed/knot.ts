// A real Knot, as a primary that takes dynamic updates or as a secondary that can be made to lag.
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findProgram } from './packages.ts'
import { freePort } from './ports.ts'
import type { RecordSet } from './powerdns.ts'
import { onFreePorts, serverFolder, startProcess } from './process.ts'
import { absolute, questions, type UpdatePolicy, type ZoneServer, zoneFile } from './zone.ts'

const run = promisify(execFile)

export interface KnotOptions {
  /** Record sets by zone (`example.test`) of which it is the primary; SOA, NS and addresses are added. */
  zones?: Record<string, RecordSet[]>
  /** Who may change what; default: nobody. */
  updates?: UpdatePolicy[]
  /** Zones of which it is a secondary, by the primary's address and port. */
  secondaryOf?: Record<string, { address: string; port: number }>
  /** Told of changes at once. */
  notify?: { address: string; port: number }[]
  /** Default 127.0.0.1. */
  address?: string
  /** Default: a free one. */
  port?: number
  /** Addresses of the zones' name servers (ns1, ns2 ...); default: its own. */
  nameServers?: string[]
}

export interface Knot extends ZoneServer {
  /** Runs knotc with these arguments and gives back what it prints. */
  control(...args: string[]): Promise<string>
  /** From here on it goes on answering with what it has. */
  freeze(zone: string): Promise<void>
  /** Ends that, and fetches the zone anew where it is a secondary. */
  thaw(zone: string): Promise<void>
}

export async function startKnot(options: KnotOptions): Promise<Knot> {
  return await onFreePorts(() => start(options))
}

async function start(options: KnotOptions): Promise<Knot> {
  const address = options.address ?? '127.0.0.1'
  const port = options.port ?? (await freePort(address))
  const program = findProgram('knotd')
  const folder = serverFolder('knot')
  for (const part of ['zones', 'db']) mkdirSync(join(folder, part))
  const asked = questions(address, port)
  for (const [zone, sets] of Object.entries(options.zones ?? {}))
    writeFileSync(
      join(folder, 'zones', `${zone}.zone`),
      zoneFile(zone, sets, options.nameServers ?? [address]),
    )
  writeFileSync(join(folder, 'knot.conf'), configuration(folder, address, port, options), { mode: 0o600 })
  const names = [...Object.keys(options.zones ?? {}), ...Object.keys(options.secondaryOf ?? {})]
  const running = await startProcess({
    name: 'knotd',
    folder,
    command: [program.path, '-c', join(folder, 'knot.conf')],
    ready: async () => {
      for (const zone of names) await asked.serial(zone)
      return true
    },
  })
  const control = async (...args: string[]): Promise<string> => {
    const { stdout } = await run(findProgram('knotc').path, ['-s', join(folder, 'knot.sock'), ...args])
    return stdout
  }
  const { pid, log, stop } = running
  return {
    ...{ address, port, endpoint: `${address}:${port}`, ...asked, pid, log, stop, control },
    freeze: async (zone) => {
      await control('--blocking', 'zone-freeze', zone)
    },
    thaw: async (zone) => {
      await control('--blocking', 'zone-thaw', zone)
      if (options.secondaryOf?.[zone]) await control('--blocking', 'zone-refresh', zone)
    },
  }
}

function configuration(folder: string, address: string, port: number, options: KnotOptions): string {
  const { zones = {}, secondaryOf = {}, updates = [], notify = [] } = options
  const keys = updates.map(
    ({ key }) => `  - id: ${key.name}\n    algorithm: ${key.algorithm}\n    secret: ${key.secret}`,
  )
  const remotes = [
    ...Object.entries(secondaryOf).map(([zone, from]) => ({ id: `from-${zone}`, ...from })),
    ...notify.map((to, index) => ({ id: `to-${index}`, ...to })),
  ].map((one) => `  - id: ${one.id}\n    address: ${one.address}@${one.port}\n    via: ${address}`)
  const acls = [...Object.keys(zones), ...Object.keys(secondaryOf)].flatMap((zone) =>
    updates.map((one, index) => `  - id: update-${index}-${zone}\n${policy(one, zone)}`),
  )
  const rules = (zone: string) => updates.map((_, index) => `update-${index}-${zone}`)
  const told =
    notify.length > 0 ? `    notify: [${notify.map((_, index) => `to-${index}`).join(', ')}]\n` : ''
  const primary = (zone: string): string => `  - domain: ${zone}
    file: ${zone}.zone
    acl: [${['transfer', ...rules(zone)].join(', ')}]
${told}`
  const secondary = (zone: string): string => `  - domain: ${zone}
    file: ${zone}.copy
    master: from-${zone}
    acl: [${['told', ...rules(zone)].join(', ')}]
`
  return `server:
    listen: ${address}@${port}
    rundir: ${folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: ${folder}/knot.sock
log:
  - target: stderr
    any: info
database:
    storage: ${folder}/db
${keys.length > 0 ? `key:\n${keys.join('\n')}` : ''}
acl:
  - id: transfer
    address: 127.0.0.0/8
    action: transfer
  - id: told
    address: 127.0.0.0/8
    action: notify
${acls.join('\n')}
${remotes.length > 0 ? `remote:\n${remotes.join('\n')}` : ''}
template:
  - id: default
    storage: ${folder}/zones
zone:
${Object.keys(zones).map(primary).join('')}${Object.keys(secondaryOf).map(secondary).join('')}`
}

function policy({ key, names, types }: UpdatePolicy, zone: string): string {
  const lines = [`key: ${key.name}`, 'action: update']
  if (names !== undefined)
    lines.push(
      'update-owner: name',
      'update-owner-match: equal',
      `update-owner-name: [${names.map((name) => `${absolute(name, zone)}.`).join(', ')}]`,
    )
  if (types !== undefined) lines.push(`update-type: [${types.join(', ')}]`)
  return lines.map((line) => `    ${line}`).join('\n')
}
