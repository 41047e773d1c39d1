// Names that are in use: two machines with TLS, a caching resolver between the clients and the name server, load.
import { type Authority, makeAuthority } from '../bed/authority.ts'
import { type Load, type LoadOptions, startLoad } from '../bed/load.ts'
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { freePorts } from '../bed/ports.ts'
import { type PowerDns, startPowerDns } from '../bed/powerdns.ts'
import { until } from '../bed/process.ts'
import { startUnbound, type Unbound } from '../bed/unbound.ts'
import { runAction } from '../harness/action-run.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

export const NAMES = ['www', 'api', 'shop'].map((name) => `${name}.${ZONE}`)

export interface Machine {
  /** Changes what it answers with, or the certificate it shows. */
  become(now: { status?: number; certificateFor?: readonly string[] }): Promise<void>
  /** Starts it again, well, where it was stopped. */
  start(): Promise<void>
  stop(): Promise<void>
}

export interface LiveScene {
  dns: PowerDns
  resolver: Unbound
  old: Machine
  fresh: Machine
  /** All names lead to the old machine, for the resolver too, and every answer of both machines is good. */
  reset(): Promise<void>
  flip(
    inputs?: Record<string, string>,
    options?: Omit<Parameters<typeof runAction>[0], 'action' | 'inputs'>,
  ): ReturnType<typeof runAction>
  /**
   * 550 requests a second in all, a third of them over TLS, by turns for each name: each is resolved anew and makes a
   * connection of its own.
   */
  load(options?: Partial<LoadOptions>): Promise<Load>
  /** What the resolver says of a name, with the seconds that are left of it. */
  resolved(name: string): Promise<{ address: string; ttl: number }>
  /** Waits until the resolver has this address for all names. */
  untilResolved(address: string): Promise<void>
  /** Waits until the resolver has just asked for a name: it keeps the answer for the whole TTL from now. */
  untilFresh(name: string): Promise<void>
  /** How many TTLs begin with another address from now on, until the resolver gets this one. */
  ttlsUntil(name: string, address: string): Promise<number>
  stop(): Promise<void>
}

export async function startLiveScene(ttl: number): Promise<LiveScene> {
  const authority = makeAuthority()
  const { old, fresh, port, plainPort } = await twoMachines(authority)
  const records = NAMES.map((name) => ({ name: `${name}.`, type: 'A', ttl, values: [OLD] }))
  const dns = await startPowerDns({ zones: { [ZONE]: records } })
  const resolver = await startUnbound({ zones: { [ZONE]: [dns] } })
  const inputs = {
    provider: 'powerdns',
    'api-url': dns.apiUrl,
    token: dns.apiKey,
    zone: ZONE,
    records: NAMES.map((name) => `${name}. A ${OLD} -> ${NEW}`).join('\n'),
    nameservers: `${dns.address}:${dns.port}`,
    resolvers: resolver.endpoint,
    'verify-url': `https://{name}:${port}/`,
    'expect-body': 'served by the',
  }
  const urls = NAMES.flatMap((name) => [
    `https://${name}:${port}/`,
    ...Array.from({ length: 2 }, () => `http://${name}:${plainPort}/`),
  ])
  const resolved = async (name: string) => (await resolver.query(name))[0]!
  const untilResolved = (address: string) =>
    until(
      `the resolver has ${address}`,
      async () => {
        const all = await Promise.all(NAMES.map(resolved))
        return all.every((one) => one.address === address)
      },
      20_000,
    )
  return {
    ...{ urls, dns, resolver, old, fresh, resolved, untilResolved },
    reset: async () => {
      for (const record of records) await dns.replace(ZONE, record)
      await Promise.all([old.start(), fresh.start()])
      await fresh.become({})
      await untilResolved(OLD)
    },
    untilFresh: (name) =>
      until(`the resolver has just asked for ${name}`, async () => (await resolved(name)).ttl === ttl),
    ttlsUntil: async (name, address) => {
      let ttls = 0
      let before = await resolved(name)
      await until(
        `the resolver has ${address} again`,
        async () => {
          const now = await resolved(name)
          if (now.address === address) return true
          if (now.ttl > before.ttl) ttls++
          before = now
          return false
        },
        60_000,
      )
      return ttls
    },
    flip: (own = {}, options = {}) =>
      runAction({
        action: 'dns-flip',
        inputs: { ...inputs, ...own },
        secrets: { DNS_TOKEN: dns.apiKey },
        env: { NODE_EXTRA_CA_CERTS: authority.path },
        ...options,
      }),
    load: (options = {}) =>
      startLoad({
        url: urls,
        rate: 550,
        resolver: resolver.endpoint,
        // Lost is what is refused, reset or answered badly; a busy machine may be slow.
        timeoutMs: 30_000,
        ca: authority.pem,
        expectBody: 'served by the',
        ...options,
      }),
    stop: async () => {
      await Promise.all([old.stop(), fresh.stop(), dns.stop(), resolver.stop()])
      authority.remove()
    },
  }
}

/** DNS moves addresses, not ports: both machines listen on the same ones. */
async function twoMachines(authority: Authority) {
  for (;;) {
    const [port, plainPort] = (await freePorts(2, OLD)) as [number, number]
    const old = await startMachine(authority, OLD, port, plainPort, 'old machine')
    try {
      const fresh = await startMachine(authority, NEW, port, plainPort, 'new machine')
      return { old, fresh, port, plainPort }
    } catch (error) {
      await old.stop()
      if (!/in use/i.test(String(error))) throw error
    }
  }
}

async function startMachine(
  authority: Authority,
  host: string,
  port: number,
  plainPort: number,
  name: string,
): Promise<Machine> {
  const server = (status: number, names: readonly string[]) => {
    const { certificate, key } = authority.issue(names)
    return `
  server {
    listen ${host}:${plainPort};
    listen ${host}:${port} ssl;
    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    add_header x-node "${name}" always;
    location / { return ${status} "served by the ${name}\\n"; }
  }`
  }
  const well = server(200, NAMES)
  const open = () => startNginx({ host, port, http: () => well })
  let nginx: Nginx | undefined = await open()
  return {
    become: async ({ status = 200, certificateFor = NAMES }) => {
      await nginx?.reload(server(status, certificateFor))
    },
    start: async () => {
      nginx ??= await open()
    },
    stop: async () => {
      await nginx?.stop()
      nginx = undefined
    },
  }
}
