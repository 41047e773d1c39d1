// A real BIND, as a primary that takes dynamic updates or as a secondary.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram } from './packages.ts'
import { freePort } from './ports.ts'
import type { RecordSet } from './powerdns.ts'
import { onFreePorts, serverFolder, startProcess } from './process.ts'
import { absolute, questions, type UpdatePolicy, type ZoneServer, zoneFile } from './zone.ts'

export interface NamedOptions {
  /** Record sets by zone (`example.test`) of which it is the primary; SOA, NS and addresses are added. */
  zones?: Record<string, RecordSet[]>
  /** Who may change what; default: nobody. */
  updates?: UpdatePolicy[]
  /** Zones of which it is a secondary, by the primary's address and port. */
  secondaryOf?: Record<string, { address: string; port: number }>
  /** Told of changes at once. */
  notify?: { address: string; port: number }[]
  /** Default: a free one. */
  port?: number
  /** Addresses of the zones' name servers (ns1, ns2 ...); default: its own. */
  nameServers?: string[]
  /** More lines of each zone's block. */
  zoneLines?: string[]
}

/** It listens on addresses of interfaces only, so not on the other ones of 127.0.0.0/8. */
const address = '127.0.0.1'

export async function startNamed(options: NamedOptions): Promise<ZoneServer> {
  return await onFreePorts(() => start(options))
}

async function start(options: NamedOptions): Promise<ZoneServer> {
  const port = options.port ?? (await freePort(address))
  const program = findProgram('named')
  const folder = serverFolder('named')
  const zones = join(folder, 'zones')
  mkdirSync(zones)
  const asked = questions(address, port)
  for (const [zone, sets] of Object.entries(options.zones ?? {}))
    writeFileSync(join(zones, `${zone}.zone`), zoneFile(zone, sets, options.nameServers ?? [address]))
  writeFileSync(join(folder, 'named.conf'), configuration(folder, port, options), { mode: 0o600 })
  const names = [...Object.keys(options.zones ?? {}), ...Object.keys(options.secondaryOf ?? {})]
  const running = await startProcess({
    name: 'named',
    folder,
    command: [program.path, '-g', '-4', '-n', '1', '-c', join(folder, 'named.conf')],
    ready: async () => {
      for (const zone of names) await asked.serial(zone)
      return true
    },
  })
  const { pid, log, stop } = running
  return { address, port, endpoint: `${address}:${port}`, ...asked, pid, log, stop }
}

function configuration(folder: string, port: number, options: NamedOptions): string {
  const { zones = {}, secondaryOf = {}, updates = [], notify = [], zoneLines = [] } = options
  const keys = updates.map(
    ({ key }) => `key "${key.name}" { algorithm ${key.algorithm}; secret "${key.secret}"; };`,
  )
  const told = notify.map((server) => `${server.address} port ${server.port};`).join(' ')
  const primary = (zone: string): string => `zone "${zone}" {
    type primary;
    file "zones/${zone}.zone";
    ${updates.length > 0 ? `update-policy { ${updates.flatMap((one) => grants(one, zone)).join(' ')} };` : ''}
    ${zoneLines.join('\n    ')}
  };`
  const secondary = ([zone, from]: [string, { address: string; port: number }]): string => `zone "${zone}" {
    type secondary;
    file "zones/${zone}.copy";
    primaries { ${from.address} port ${from.port}; };
    ${zoneLines.join('\n    ')}
  };`
  return `options {
    directory "${folder}";
    pid-file none;
    session-keyfile none;
    managed-keys-directory "${folder}";
    listen-on port ${port} { ${address}; };
    listen-on-v6 { none; };
    transfer-source ${address};
    notify-source ${address};
    recursion no;
    dnssec-validation no;
    allow-transfer { 127.0.0.0/8; };
    notify explicit;
    also-notify { ${told} };
    // Told of a change at once, not together with those of the next five seconds.
    notify-delay 0;
    serial-query-rate 1000;
  };
  controls { };
  ${keys.join('\n')}
  ${Object.keys(zones).map(primary).join('\n')}
  ${Object.entries(secondaryOf).map(secondary).join('\n')}
`
}

function grants({ key, names, types = [] }: UpdatePolicy, zone: string): string[] {
  if (names === undefined) return [`grant ${key.name} zonesub ${types.join(' ') || 'ANY'};`]
  return names.map((name) => `grant ${key.name} name ${absolute(name, zone)}. ${types.join(' ') || 'ANY'};`)
}
