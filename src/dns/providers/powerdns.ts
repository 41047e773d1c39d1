// PowerDNS's HTTP API: doc.powerdns.com/authoritative/http-api/zone.html. Errors 401 and 404 are plain text, 422 is
// JSON with `error`; names are canonical (lower case, final dot); several record sets of one PATCH are atomic.
import type { Context } from '../../context.ts'
import { Failure } from '../../failure.ts'
import type { Provider, Zone } from '../provider.ts'
import { type ApiAnswer, ProviderApi } from '../provider-api.ts'
import { isRecordType, parseValue, type RecordSet } from '../record.ts'
import { writeInPlace } from './in-place.ts'

export interface PowerDnsOptions {
  /** `https://dns.example.com`, what stands before `/api/v1`. */
  readonly apiUrl: string
  readonly token: string
}

export function powerDns(options: PowerDnsOptions): Provider {
  return new PowerDns(options)
}

class PowerDns implements Provider {
  readonly name = 'PowerDNS'
  readonly #api: ProviderApi
  readonly #host: string

  constructor({ apiUrl, token }: PowerDnsOptions) {
    const base = apiUrl.replace(/\/+$/, '').replace(/\/api(\/v1)?$/, '')
    this.#host = new URL(base).origin
    this.#api = new ProviderApi({
      baseUrl: `${base}/api/v1/servers/localhost`,
      headers: { 'X-API-Key': token },
      secret: token,
      name: this.name,
    })
  }

  async findZone(name: string, context: Context): Promise<Zone> {
    const answer = await this.#api.get(`/zones/${name}.?rrsets=false`, context)
    const kind = textOf(this.#json(answer, `look up the zone ${name}`, name), 'kind')
    if (/^(slave|secondary|consumer)$/i.test(kind)) {
      throw new Failure(`the zone ${name} is a secondary here: what is written would be overwritten`, {
        host: this.#host,
        state: 'nothing was changed.',
        hint: "point `api-url` at the zone's primary",
      })
    }
    return { name, id: `${name}.` }
  }

  async readRecordSets(zone: Zone, names: readonly string[], context: Context): Promise<RecordSet[]> {
    const sets: RecordSet[] = []
    for (const name of names) sets.push(...(await this.#readName(zone, name, context)))
    return sets
  }

  async #readName(zone: Zone, name: string, context: Context): Promise<RecordSet[]> {
    // Servers before 4.6 do not know rrset_name and give the whole zone.
    const path = `/zones/${zone.id}?rrset_name=${encodeURIComponent(`${name}.`)}`
    const answer = this.#json(await this.#api.get(path, context), `read ${name}`, zone.name)
    const { rrsets } = answer as { rrsets?: unknown }
    if (!Array.isArray(rrsets)) throw this.#notPowerDns(JSON.stringify(answer))
    return rrsets.map((raw) => this.#recordSet(raw)).filter((set) => set.name === name)
  }

  async writeRecordSet(zone: Zone, expected: RecordSet, next: RecordSet, context: Context): Promise<void> {
    const { name, type } = next
    const read = async () => {
      const set = (await this.#readName(zone, name, context)).find((one) => one.type === type)
      return set && { set }
    }
    const records = next.values.map((value) => ({
      content: type === 'CNAME' ? `${value}.` : value,
      disabled: false,
    }))
    const rrset = { name: `${name}.`, type, ttl: next.ttl, changetype: 'REPLACE', records }
    const write = async (_: unknown, check: () => Promise<void>) => {
      const body = { rrsets: [rrset] }
      const answer = await this.#api.write('PATCH', `/zones/${zone.id}`, body, context, check)
      if (answer.status !== 204) this.#json(answer, `change ${name} ${type}`, zone.name)
    }
    await writeInPlace({ host: this.#host, read, write }, expected, next)
  }

  #recordSet(raw: unknown): RecordSet {
    const { name, type, ttl, records } = raw as Record<string, unknown>
    if (
      typeof name !== 'string' ||
      typeof type !== 'string' ||
      typeof ttl !== 'number' ||
      !Array.isArray(records)
    ) {
      throw this.#notPowerDns(JSON.stringify(raw))
    }
    const values = records.map((record) => {
      const content = textOf(record, 'content')
      return isRecordType(type) ? (parseValue(type, content) ?? content) : content
    })
    const disabled = records.some((record) => (record as { disabled?: unknown }).disabled === true)
    return {
      name: name.toLowerCase().replace(/\.$/, ''),
      type,
      ttl,
      values,
      ...(disabled ? { obstacle: 'holds a disabled record, which a write would bring back or lose' } : {}),
    }
  }

  /** The body of a good answer; throws for any other. */
  #json({ status, text }: ApiAnswer, what: string, zone: string): unknown {
    if (status >= 200 && status < 300) {
      try {
        return JSON.parse(text)
      } catch {
        throw this.#notPowerDns(text)
      }
    }
    throw new Failure(
      status === 404 && /not found/i.test(text) ? `zone not found: ${zone}` : `could not ${what}`,
      {
        host: this.#host,
        seen: `status ${status}: ${this.#api.shown(text)}`,
        hint: hintFor(status, zone),
      },
    )
  }

  #notPowerDns(text: string): Failure {
    return new Failure('what answers is not the PowerDNS API', {
      host: this.#host,
      seen: this.#api.shown(text),
      hint: '`api-url` is the address of the API of the authoritative server, what stands before /api/v1',
    })
  }
}

function textOf(value: unknown, key: string): string {
  const text = (value as Record<string, unknown> | null)?.[key]
  return typeof text === 'string' ? text : ''
}

function hintFor(status: number, zone: string): string {
  switch (status) {
    case 401:
      return '`token` must be the value of `api-key` in pdns.conf; check the secret it comes from'
    case 403:
      return "this runner's address must be in `webserver-allow-from` of pdns.conf, or the proxy before it must let it in"
    case 404:
      return `\`zone\` must be a zone of this server (\`pdnsutil list-all-zones\`): is it '${zone}', and is \`api-url\` the right server?`
    case 409:
      return 'PowerDNS takes the change as in conflict with what is there: look at the zone, then run the job again'
    case 422:
      return 'PowerDNS takes the record for wrong: its text above says why'
    case 429:
      return 'too many requests: run the job again later'
    default:
      return status >= 500
        ? "look at the server's log (journalctl -u pdns), then run the job again"
        : '`api-url` must be the API of the PowerDNS authoritative server, without a redirect'
  }
}
