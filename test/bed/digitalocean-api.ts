// DigitalOcean's API for the records of one domain, as a real HTTP server. Error texts as the API gives them.
import { isIPv4, isIPv6 } from 'node:net'
import { type Answer, type ApiRequest, ApiServer } from './api-server.ts'
import { digitalOceanDescription } from './openapi/digitalocean-schema.ts'
import type { RecordSet } from './powerdns.ts'

/** As the API shows it: relative names or `@`, host names without the final dot. */
export interface DomainRecord {
  id: number
  type: string
  name: string
  data: string
  priority: number | null
  port: number | null
  ttl: number
  weight: number | null
  flags: number | null
  tag: string | null
}

type Body = Partial<DomainRecord> | undefined

const DOMAIN = '/v2/domains/{domain_name}'
const FIELDS = ['type', 'name', 'data', 'priority', 'port', 'ttl', 'weight', 'flags', 'tag']

export class DigitalOceanApi extends ApiServer<Body> {
  readonly token = 'dop_v1_bedToken00000000000000000000000000000000000000000000000000000000'
  /** The scopes of that token. */
  scopes: ('domain:read' | 'domain:update')[] = ['domain:read', 'domain:update']
  records: DomainRecord[] = []
  /** Told of the records after each change, before it is answered. */
  onChange: (sets: RecordSet[]) => Promise<void> = async () => {}
  readonly #domain: string
  #lastId = 3_352_890

  constructor(domain: string) {
    super()
    this.#domain = domain
  }

  override reset(): void {
    super.reset()
    this.records = []
    this.scopes = ['domain:read', 'domain:update']
  }

  /** Puts a record there as somebody else would. */
  async seed(
    record: Pick<DomainRecord, 'type' | 'name' | 'data'> & Partial<DomainRecord>,
  ): Promise<DomainRecord> {
    const made = this.#made(record)
    this.records.push(made)
    await this.changed()
    return made
  }

  /** To be called after `records` was changed from outside. */
  async changed(): Promise<void> {
    await this.onChange(this.sets())
  }

  values(name: string, type = 'A'): string[] {
    return this.records.filter((one) => one.name === name && one.type === type).map(({ data }) => data)
  }

  /** The record sets as name servers serve them. */
  sets(): RecordSet[] {
    const sets = new Map<string, RecordSet>()
    for (const { type, name, data, ttl } of this.records) {
      if (!['A', 'AAAA', 'CNAME'].includes(type)) continue
      const absolute = `${name === '@' ? '' : `${name}.`}${this.#domain}.`
      const set = sets.get(`${name} ${type}`) ?? { name: absolute, type, ttl, values: [] }
      set.values.push(type === 'CNAME' ? `${data === '@' ? this.#domain : data}.` : data)
      sets.set(`${name} ${type}`, set)
    }
    return [...sets.values()]
  }

  protected override async answer(request: ApiRequest<Body>): Promise<Answer> {
    const { method, url, headers, body } = request
    const [template, id] = this.#route(url.pathname)
    if (template === undefined) return error(404, 'not_found', NOT_FOUND)
    const verb = method.toLowerCase()
    const wrong = digitalOceanDescription?.requestErrors(template, verb, url.searchParams, body) ?? []
    if (body !== undefined && headers['content-type'] !== 'application/json') wrong.push('not sent as JSON')
    for (const key of Object.keys(body ?? {})) if (!FIELDS.includes(key)) wrong.push(`${key} is unknown`)
    this.violations.push(...wrong.map((text) => `${method} ${template}: ${text}`))
    const answer =
      headers.authorization === `Bearer ${this.token}`
        ? await this.#carryOut(method, template, id, request)
        : error(401, 'Unauthorized', 'Unable to authenticate you')
    const bad = digitalOceanDescription?.responseErrors(template, verb, answer.status, answer.body) ?? []
    this.violations.push(...bad.map((text) => `${method} ${template}: ${text}`))
    return {
      ...answer,
      headers: { 'ratelimit-limit': '5000', 'ratelimit-remaining': '4816', ...answer.headers },
    }
  }

  #route(path: string): [string | undefined, number?] {
    const domain = `/v2/domains/${this.#domain}`
    if (/^\/v2\/domains\/[^/]+$/.test(path)) return [DOMAIN]
    if (path === `${domain}/records`) return [`${DOMAIN}/records`]
    const id = path.startsWith(`${domain}/records/`) ? path.slice(domain.length + 9) : ''
    return /^\d+$/.test(id) ? [`${DOMAIN}/records/{domain_record_id}`, Number(id)] : [undefined]
  }

  async #carryOut(
    method: string,
    template: string,
    id: number | undefined,
    { url, body }: ApiRequest<Body>,
  ): Promise<Answer> {
    const scope = method === 'GET' ? 'domain:read' : 'domain:update'
    if (!this.scopes.includes(scope)) {
      return error(403, 'Forbidden', 'You are not authorized to perform this operation')
    }
    if (template === DOMAIN) {
      if (method !== 'GET' || !url.pathname.endsWith(`/${this.#domain}`))
        return error(404, 'not_found', NOT_FOUND)
      return { status: 200, body: { domain: { name: this.#domain, ttl: 1800, zone_file: '' } } }
    }
    if (id === undefined) return method === 'POST' ? await this.#create(body ?? {}) : this.#list(url)
    const record = this.records.find((one) => one.id === id)
    if (record === undefined) return error(404, 'not_found', NOT_FOUND)
    if (method === 'GET') return { status: 200, body: { domain_record: record } }
    if (method === 'DELETE') {
      this.records = this.records.filter((one) => one !== record)
      await this.changed()
      return { status: 204 }
    }
    return await this.#change(record, body ?? {})
  }

  #list(url: URL): Answer {
    const [type, name] = [url.searchParams.get('type'), url.searchParams.get('name')]
    const found = this.records.filter((record) => {
      const absolute = record.name === '@' ? this.#domain : `${record.name}.${this.#domain}`
      return (type ?? record.type) === record.type && (name ?? absolute) === absolute
    })
    const size = Number(url.searchParams.get('per_page') ?? 20)
    const page = Number(url.searchParams.get('page') ?? 1)
    const last = Math.max(1, Math.ceil(found.length / size))
    const link = (to: number) => {
      const target = new URL(url)
      target.searchParams.set('page', String(to))
      return target.href
    }
    const pages = {
      ...(page > 1 ? { first: link(1), prev: link(page - 1) } : {}),
      ...(page < last ? { next: link(page + 1), last: link(last) } : {}),
    }
    return {
      status: 200,
      body: {
        domain_records: found.slice((page - 1) * size, page * size),
        links: Object.keys(pages).length > 0 ? { pages } : {},
        meta: { total: found.length },
      },
    }
  }

  async #create(body: Partial<DomainRecord>): Promise<Answer> {
    const { type = '', name = '', data = '' } = body
    const problem = problemWith(type, data) ?? this.#clash(type, name, undefined)
    if (problem !== undefined) return error(422, 'unprocessable_entity', problem)
    const made = this.#made({ ...body, type, name, data: data.replace(/\.$/, '') })
    this.records.push(made)
    await this.changed()
    return { status: 201, body: { domain_record: made } }
  }

  async #change(record: DomainRecord, body: Partial<DomainRecord>): Promise<Answer> {
    const next = { ...record, ...body }
    // What is shown without its final dot is not taken so: `data` must be given, with it.
    const problem =
      problemWith(next.type, next.data) ??
      (next.ttl < 30 ? 'TTL must be greater than or equal to 30' : undefined) ??
      this.#clash(next.type, next.name, record)
    if (problem !== undefined) return error(422, 'unprocessable_entity', problem)
    Object.assign(record, next, { data: next.data.replace(/\.$/, '') })
    await this.changed()
    return { status: 200, body: { domain_record: record } }
  }

  #clash(type: string, name: string, own: DomainRecord | undefined): string | undefined {
    const others = this.records.filter((one) => one !== own && one.name === name)
    const clashes = others.some((one) => (one.type === 'CNAME') !== (type === 'CNAME'))
    return clashes ? 'CNAME records cannot share a name with other records' : undefined
  }

  #made(record: Pick<DomainRecord, 'type' | 'name' | 'data'> & Partial<DomainRecord>): DomainRecord {
    this.#lastId += 1
    const empty = { priority: null, port: null, weight: null, flags: null, tag: null }
    return { id: this.#lastId, ttl: 1800, ...empty, ...record }
  }
}

const NOT_FOUND = 'The resource you were accessing could not be found.'

const error = (status: number, id: string, message: string): Answer => ({
  status,
  body: { id, message, request_id: '4d9d8375-3c56-4925-a3e7-eb137fed17e9' },
})

function problemWith(type: string, data: string): string | undefined {
  if (type === 'A' && !isIPv4(data)) return 'IP address did not match IPv4 format (e.g. 127.0.0.1).'
  if (type === 'AAAA' && !isIPv6(data))
    return 'IP address did not match IPv6 format (e.g. 2001:db8::ff00:42:8329).'
  if (type === 'CNAME' && data !== '@' && !data.endsWith('.')) return 'Data needs to end with a dot (.)'
  return undefined
}

export const startDigitalOceanApi = (domain: string): Promise<DigitalOceanApi> =>
  new DigitalOceanApi(domain).start()
