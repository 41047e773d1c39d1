// Names that are in use: two machines with TLS, a caching resolver between the clients and the name server, load.
import { type Authority, makeAuthority } from '../bed/authority.ts'
import { type Load, type LoadOptions, startLoad } from '../bed/load.ts'
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { freePorts } from '../bed/ports.ts'
import { type PowerDns, startPowerDns } from '../bed/powerdns.ts'
import { type Unbound, startUnbound } from '../bed/unbound.ts'
import { runAction } from '../harness/action-run.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

export const NAMES = ['www', 'api', 'shop'].map((name) => `${name}.${ZONE}`)

export interface Machine {
  nginx: Nginx
  /** Changes what it answers with, or the certificate it shows. */
  become(now: { status?: number; certificateFor?: readonly string[] }): Promise<void>
}

export interface LiveScene {
  dns: PowerDns
  resolver: Unbound
  old: Machine
  fresh: Machine
  /** All names lead to the old machine, and every answer of the new one is good. */
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
    'expect-body': 'served by the new machine',
  }
  return {
    ...{ dns, resolver, old, fresh },
    reset: async () => {
      for (const record of records) await dns.replace(ZONE, record)
      await fresh.become({})
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
        url: NAMES.flatMap((name) => [
          `https://${name}:${port}/`,
          ...Array.from({ length: 2 }, () => `http://${name}:${plainPort}/`),
        ]),
        rate: 550,
        resolver: resolver.endpoint,
        ca: authority.pem,
        expectBody: 'served by the',
        ...options,
      }),
    resolved: async (name) => (await resolver.query(name))[0]!,
    stop: async () => {
      await Promise.all([old.nginx.stop(), fresh.nginx.stop(), dns.stop(), resolver.stop()])
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
      await old.nginx.stop()
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
  const nginx = await startNginx({ host, port, http: () => server(200, NAMES) })
  return {
    nginx,
    become: ({ status = 200, certificateFor = NAMES }) =>
      nginx.reload(server(status, certificateFor)),
  }
}
