// The names of the DNS scene kept by a cloud: its API in front, a real name server behind it.
import { type CloudflareApi, startCloudflareApi } from '../bed/cloudflare-api.ts'
import { type DigitalOceanApi, startDigitalOceanApi } from '../bed/digitalocean-api.ts'
import { type Moment, ServedRecords } from '../bed/served-records.ts'
import type { ActionResult } from '../harness/action-run.ts'
import { type DnsScene, NEW, OLD, startDnsScene, ZONE } from './dns-scene.ts'

export type CloudName = 'cloudflare' | 'digitalocean'

export interface CloudScene<Api> {
  api: Api
  /** The PowerDNS that serves what the API keeps, and both machines. */
  dns: DnsScene
  /** What each record set has been since the last reset. */
  history: Moment[]
  /** The inputs of a flip of www and api. */
  inputs: Record<string, string>
  /** www and api at the old machine, TTL 60; everything else gone. */
  reset(): Promise<void>
  flip: DnsScene['flip']
  values(name: string, type?: string): string[]
  /** Gives a name one other value, as somebody else would. */
  change(name: string, value: string): Promise<void>
}

export async function startCloudflareScene(): Promise<CloudScene<CloudflareApi>> {
  const api = await startCloudflareApi(ZONE)
  const scene = await sceneOf('cloudflare', api, api.apiUrl, async () => {
    for (const name of ['www', 'api']) {
      const more = { comment: `the ${name} machine`, tags: ['owner:ops'] }
      await api.seed({ type: 'A', name: `${name}.${ZONE}`, content: OLD, ttl: 60, ...more })
    }
  })
  return {
    ...scene,
    values: (name, type) => api.values(`${name}.${ZONE}`, type),
    change: async (name, content) => {
      for (const record of api.of(`${name}.${ZONE}`)) Object.assign(record, { content })
      await api.changed()
    },
  }
}

export async function startDigitalOceanScene(): Promise<CloudScene<DigitalOceanApi>> {
  const api = await startDigitalOceanApi(ZONE)
  const scene = await sceneOf('digitalocean', api, api.url, async () => {
    for (const name of ['www', 'api']) await api.seed({ type: 'A', name, data: OLD, ttl: 60 })
  })
  return {
    ...scene,
    values: (name, type) => api.values(name, type),
    change: async (name, data) => {
      for (const record of api.records) if (record.name === name) Object.assign(record, { data })
      await api.changed()
    },
  }
}

async function sceneOf<Api extends CloudflareApi | DigitalOceanApi>(
  provider: CloudName,
  api: Api,
  apiUrl: string,
  seed: () => Promise<void>,
): Promise<Omit<CloudScene<Api>, 'values' | 'change'>> {
  const dns = await startDnsScene()
  const served = new ServedRecords(dns.dns, ZONE)
  api.onChange = (sets) => served.serve(sets)
  const inputs = { ...dns.inputs, provider, 'api-url': apiUrl, token: api.token }
  return {
    api,
    dns,
    history: served.history,
    inputs,
    reset: async () => {
      api.reset()
      await seed()
      served.history.length = 0
    },
    flip: async (own = {}, options = {}) => {
      const token = own['token'] ?? api.token
      const result = await dns.flip({ ...inputs, ...own }, { secrets: { DNS_TOKEN: token }, ...options })
      holdsNoToken(result, token)
      return result
    },
  }
}

/** In nothing that the action printed or handed out, masks aside. */
function holdsNoToken({ outputs, rawLog, masks }: ActionResult, token: string): void {
  const printed = rawLog.replaceAll(/^::add-mask::.*$/gm, '')
  for (const text of [printed, JSON.stringify(outputs)]) {
    if (text.includes(token)) throw new Error(`the token is shown: ${text}`)
  }
  if (!masks.includes(token)) throw new Error('the token is not masked')
}

export { NEW, OLD, ZONE }
