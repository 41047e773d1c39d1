// Two machines on one port, of which the names of a zone lead to the old one.
import { type Nginx, startNginx } from './nginx.ts'
import { freePort } from './ports.ts'
import { type PowerDns, startPowerDns } from './powerdns.ts'

export const OLD = '127.0.0.1'
export const NEW = '127.0.0.2'
export const ZONE = 'example.test'

export interface Machines {
  readonly old: Nginx
  readonly fresh: Nginx
  readonly port: number
  readonly dns: PowerDns
  /** Inputs of a workflow, as YAML lines, that fit. */
  readonly dnsInputs: string
  /** The addresses of www and api. */
  addresses(): Promise<string[]>
  stop(): Promise<void>
}

/** `server` is what goes into a machine's `server { }`. DNS moves addresses, not ports: both listen on the same one. */
export async function startMachines(server: (host: string) => string): Promise<Machines> {
  const { old, fresh, port } = await twoServers(server)
  const records = ['www', 'api'].map((name) => ({ name, type: 'A', ttl: 1, values: [OLD] }))
  const dns = await startPowerDns({ zones: { [ZONE]: records } })
  return {
    ...{ old, fresh, port, dns },
    dnsInputs: [
      `zone: ${ZONE}`,
      `nameservers: ${dns.address}:${dns.port}`,
      `verify-url: 'http://{name}:${port}/'`,
    ].join('\n      '),
    addresses: async () => {
      const answers = await Promise.all(['www', 'api'].map((name) => dns.query(`${name}.${ZONE}`)))
      return answers.flat().map(({ address }) => address)
    },
    stop: async () => {
      await Promise.all([old.stop(), fresh.stop(), dns.stop()])
    },
  }
}

async function twoServers(server: (host: string) => string) {
  for (;;) {
    const port = await freePort(OLD)
    const http = (host: string) => () => `server { listen ${host}:${port}; ${server(host)} }`
    const old = await startNginx({ host: OLD, port, http: http(OLD) })
    try {
      return { old, port, fresh: await startNginx({ host: NEW, port, http: http(NEW) }) }
    } catch (error) {
      await old.stop()
      if (!/in use/i.test(String(error))) throw error
    }
  }
}
