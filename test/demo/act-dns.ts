// Act 4: two names move from the old machine to the new one.
import { startLoad } from '../bed/load.ts'
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { freePort } from '../bed/ports.ts'
import { startPowerDns } from '../bed/powerdns.ts'
import type { Act, Mark, Say } from './act.ts'
import { mustSucceed } from './steps.ts'

const OLD = '127.0.0.1'
const NEW = '127.0.0.2'

/** Flips www and api; clients resolve the names afresh and keep answers for their TTL. */
export async function dnsAct(say: Say): Promise<Act> {
  const { old, fresh, port } = await twoMachines()
  const records = ['www', 'api'].map((name) => ({ name, type: 'A', ttl: 2, values: [OLD] }))
  const dns = await startPowerDns({ zones: { 'example.test': records } })
  try {
    const load = await startLoad({
      url: ['www', 'api'].map((name) => `http://${name}.example.test:${port}/`),
      rate: 600,
      nameServer: `${dns.address}:${dns.port}`,
    })
    await load.more(900)
    const marks: Mark[] = [{ at: Date.now(), label: 'flip begins' }]
    await mustSucceed(
      'dns-flip',
      {
        provider: 'powerdns',
        'api-url': dns.apiUrl,
        token: dns.apiKey,
        zone: 'example.test',
        records: [`www A ${OLD} -> ${NEW}`, `api A ${OLD} -> ${NEW}`].join('\n'),
        canary: '1',
        nameservers: `${dns.address}:${dns.port}`,
        'verify-url': `http://{name}:${port}/`,
        'expect-status': '200',
      },
      say,
      { secrets: { DNS_TOKEN: dns.apiKey } },
    )
    marks.push({ at: Date.now(), label: 'flip done' })
    await load.more(1500)
    return {
      title: 'DNS flip: from the old machine to the new one',
      what: 'The new machine is tried under the live name first; one name goes ahead, then the other; both machines serve meanwhile.',
      load: await load.stop(),
      spans: [],
      marks,
      control: false,
    }
  } finally {
    await dns.stop()
    await Promise.all([old.stop(), fresh.stop()])
  }
}

/** DNS moves addresses, not ports: both machines listen on the same port. */
async function twoMachines(): Promise<{ old: Nginx; fresh: Nginx; port: number }> {
  for (;;) {
    const port = await freePort(OLD)
    const old = await startNginx({ host: OLD, port, http: () => machine(OLD, port, 'old machine') })
    try {
      return {
        old,
        port,
        fresh: await startNginx({ host: NEW, port, http: () => machine(NEW, port, 'new machine') }),
      }
    } catch (error) {
      await old.stop()
      if (!/in use/i.test(String(error))) throw error
    }
  }
}

const machine = (host: string, port: number, name: string) => `
  server {
    listen ${host}:${port};
    add_header x-node "${name}";
    location / { return 200 "served by the ${name}\\n"; }
  }`
