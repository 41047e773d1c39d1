// The three servers that take dynamic updates, each with the same zone.
import { startKnot } from '../bed/knot.ts'
import { startNamed } from '../bed/named.ts'
import { type RecordSet, startPowerDns } from '../bed/powerdns.ts'
import {
  makeTsigKey,
  questions,
  replaceByUpdate,
  type TsigKey,
  type UpdatePolicy,
  type ZoneServer,
} from '../bed/zone.ts'
import { runAction } from '../harness/action-run.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

export const SERVERS = ['BIND', 'Knot', 'PowerDNS'] as const
export type ServerName = (typeof SERVERS)[number]

type RunOptions = Omit<Parameters<typeof runAction>[0], 'action' | 'inputs'>

/** What each zone holds besides SOA and NS. */
export const SETS: RecordSet[] = [
  { name: 'www', type: 'A', ttl: 5, values: [OLD] },
  { name: 'api', type: 'A', ttl: 5, values: [OLD] },
  { name: '@', type: 'A', ttl: 7, values: [OLD] },
  { name: 'many', type: 'A', ttl: 5, values: [OLD, '127.0.0.3', '127.0.0.4'] },
  { name: 'six', type: 'AAAA', ttl: 5, values: ['2001:db8::1'] },
  { name: 'alias', type: 'CNAME', ttl: 5, values: ['old.example.test.'] },
  { name: 'held', type: 'A', ttl: 5, values: [OLD] },
  { name: '*.wild', type: 'A', ttl: 5, values: [OLD] },
  { name: 'both', type: 'A', ttl: 5, values: [OLD] },
  { name: 'both', type: 'AAAA', ttl: 5, values: ['2001:db8::1'] },
  { name: 'hint', type: 'A', ttl: 5, values: [OLD] },
  { name: 'hint', type: 'HTTPS', ttl: 5, values: [`1 . alpn=h2 ipv4hint=${OLD}`] },
  { name: 'child', type: 'NS', ttl: 5, values: ['ns1.elsewhere.test.'] },
]
/** All but `held`. */
const NAMES = ['www', 'api', '@', 'many', 'six', 'alias', 'x.wild', 'both', 'hint', 'www.child']

export interface UpdateScene {
  server: ZoneServer
  key: TsigKey
  flip(inputs?: Record<string, string>, options?: RunOptions): ReturnType<typeof runAction>
  values(name: string, type?: 'A' | 'AAAA' | 'CNAME'): Promise<string[]>
  /** As somebody else would. */
  replace(set: RecordSet): Promise<void>
  /** www, api and what else is named as before any flip. */
  reset(...names: string[]): Promise<void>
  serial(): Promise<number>
  stop(): Promise<void>
}

/** The key may change the names above, and no other. */
export async function startUpdateScene(name: ServerName): Promise<UpdateScene> {
  const key = makeTsigKey()
  const admin = makeTsigKey('admin')
  const updates: UpdatePolicy[] = [{ key, names: NAMES, types: ['A', 'AAAA', 'CNAME'] }, { key: admin }]
  return sceneOf(await startServer(name, updates), key, admin)
}

export function sceneOf(server: ZoneServer, key: TsigKey, admin: TsigKey): UpdateScene {
  const inputs = {
    provider: 'rfc2136',
    'api-url': `dns://${server.endpoint}`,
    'tsig-name': key.name,
    'tsig-secret': key.secret,
    zone: ZONE,
    records: `www A ${OLD} -> ${NEW}\napi A ${OLD} -> ${NEW}`,
    nameservers: server.endpoint,
    'verify-url': '',
  }
  const replace = (set: RecordSet) => replaceByUpdate(server, admin, ZONE, set)
  return {
    ...{ server, key, replace },
    flip: (own = {}, options = {}) =>
      runAction({
        action: 'dns-flip',
        inputs: { ...inputs, ...own },
        secrets: { DNS_TSIG_SECRET: key.secret },
        ...options,
      }),
    values: (name, type = 'A') => server.values(ZONE, name, type),
    reset: async (...names) => {
      for (const set of SETS) if (['www', 'api', ...names].includes(set.name)) await replace(set)
    },
    serial: () => server.serial(ZONE),
    stop: () => server.stop(),
  }
}

async function startServer(name: ServerName, updates: UpdatePolicy[]): Promise<ZoneServer> {
  const zones = { [ZONE]: SETS }
  switch (name) {
    case 'BIND':
      return await startNamed({ zones, updates })
    case 'Knot':
      return await startKnot({ zones, updates })
    case 'PowerDNS': {
      const more = [...SETS, { name: 'lua', type: 'LUA', ttl: 5, values: [`A "'${OLD}'"`] }]
      const { address, port, pid, log, stop } = await startPowerDns({ zones: { [ZONE]: more }, updates })
      return { ...questions(address, port), address, port, endpoint: `${address}:${port}`, pid, log, stop }
    }
  }
}
