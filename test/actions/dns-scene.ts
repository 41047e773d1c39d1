// Two web servers, the old and the new machine, and the names that lead to them.
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { freePort } from '../bed/ports.ts'
import { type PowerDns, type RecordSet, startPowerDns } from '../bed/powerdns.ts'
import { runAction } from '../harness/action-run.ts'

export const OLD = '127.0.0.1'
export const NEW = '127.0.0.2'
export const ZONE = 'example.test'

type RunOptions = Omit<Parameters<typeof runAction>[0], 'action' | 'inputs'>

export interface DnsScene {
  dns: PowerDns
  /** Serves as `served by the old machine`. */
  oldMachine: Nginx
  /** Serves as `served by the new machine` for every name. */
  newMachine: Nginx
  /** The port of both machines. */
  port: number
  /** The inputs of a flip of www and api. */
  inputs: Record<string, string>
  /** Both names as before any flip; the new machine well. */
  reset(): Promise<void>
  /** A flip with these inputs over those of the scene. */
  flip(inputs?: Record<string, string>, options?: RunOptions): ReturnType<typeof runAction>
  /** The values of a name by the API. */
  values(name: string, type?: string): Promise<string[] | undefined>
  /** Makes a machine, by default the new one, answer every request with this status. */
  answerWith(status: number, machine?: 'old' | 'new'): Promise<void>
  stop(): Promise<void>
}

const names: RecordSet[] = ['www', 'api'].map((name) => ({ name, type: 'A', ttl: 5, values: [OLD] }))

export async function startDnsScene(more: RecordSet[] = []): Promise<DnsScene> {
  const { old, fresh, port } = await twoMachines()
  const dns = await startPowerDns({ zones: { [ZONE]: [...names, ...more] } })
  const inputs = {
    provider: 'powerdns',
    'api-url': dns.apiUrl,
    token: dns.apiKey,
    zone: ZONE,
    records: `www A ${OLD} -> ${NEW}\napi A ${OLD} -> ${NEW}`,
    nameservers: `${dns.address}:${dns.port}`,
    'verify-url': `http://{name}:${port}/`,
  }
  const answerWith = async (status: number, which: 'old' | 'new' = 'new'): Promise<void> => {
    if (which === 'old') await old.reload(machine(OLD, port, 'old machine', status))
    else await fresh.reload(machine(NEW, port, 'new machine', status))
    if (status === 200) changed.delete(which)
    else changed.add(which)
  }
  const changed = new Set<'old' | 'new'>()
  return {
    dns,
    oldMachine: old,
    newMachine: fresh,
    port,
    inputs,
    reset: async () => {
      for (const set of names) await dns.replace(ZONE, set)
      for (const which of changed) await answerWith(200, which)
    },
    flip: (own = {}, options = {}) =>
      runAction({
        action: 'dns-flip',
        inputs: { ...inputs, ...own },
        secrets: { DNS_TOKEN: dns.apiKey },
        ...options,
      }),
    values: async (name, type = 'A') => (await dns.recordSet(ZONE, name, type))?.values,
    answerWith,
    stop: async () => {
      await dns.stop()
      await Promise.all([old.stop(), fresh.stop()])
    },
  }
}

/** DNS moves addresses, not ports: both machines listen on the same port. */
async function twoMachines(): Promise<{ old: Nginx; fresh: Nginx; port: number }> {
  for (;;) {
    const port = await freePort(OLD)
    const old = await startNginx({ host: OLD, port, http: () => machine(OLD, port, 'old machine', 200) })
    try {
      const http = () => machine(NEW, port, 'new machine', 200)
      return { old, port, fresh: await startNginx({ host: NEW, port, http }) }
    } catch (error) {
      await old.stop()
      if (!/in use/i.test(String(error))) throw error
    }
  }
}

const machine = (host: string, port: number, name: string, status: number): string => `
  server {
    listen ${host}:${port} default_server;
    return 421 "not under this name\\n";
  }
  server {
    listen ${host}:${port};
    server_name *.${ZONE};
    add_header x-node "${name}";
    return ${status} "served by the ${name}\\n";
  }`
