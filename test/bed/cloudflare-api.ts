// Cloudflare's API for the records of one zone, as a real HTTP server. What it takes and gives has the types of the
// official SDK; error codes and texts as the API gives them.
import { randomBytes } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import type { V4PagePaginationArrayResponse } from 'cloudflare/core/pagination'
import type {
  RecordBatchParams,
  RecordBatchResponse,
  RecordEditParams,
  RecordListParams,
  RecordResponse,
} from 'cloudflare/resources/dns/records'
import type { ResponseInfo } from 'cloudflare/resources/shared'
import type { TokenVerifyResponse } from 'cloudflare/resources/user/tokens/tokens'
import type { Zone, ZoneListParams } from 'cloudflare/resources/zones/zones'
import { type Answer, type ApiRequest, ApiServer } from './api-server.ts'
import type { RecordSet } from './powerdns.ts'

/** The types that are written; others can be seeded. */
export type CloudRecord = RecordResponse.ARecord | RecordResponse.AAAARecord | RecordResponse.CNAMERecord
type Edit = RecordEditParams.ARecord | RecordEditParams.AAAARecord | RecordEditParams.CNAMERecord
type EditBody = Omit<Edit, 'zone_id'>
type BatchBody = Omit<RecordBatchParams, 'zone_id'>
type Body = EditBody | BatchBody | undefined
type Post = NonNullable<RecordBatchParams['posts']>[number]

/** Where the bed's names are answered for a proxied record. */
export const EDGE = '127.0.0.3'

const RECORD_FIELDS = [
  'name',
  'type',
  'content',
  'ttl',
  'proxied',
  'comment',
  'tags',
  'settings',
] satisfies (keyof RecordResponse)[]
const ZONE_QUERY = ['name', 'page', 'per_page', 'status'] satisfies (keyof ZoneListParams)[]
const LIST_QUERY = ['page', 'per_page', 'type', 'name'] satisfies (keyof RecordListParams)[]
const NAME_FILTERS = (
  ['exact', 'contains', 'startswith', 'endswith'] satisfies (keyof RecordListParams.Name)[]
).map((one) => `name.${one}`)
const MAX_PAGE = 5_000_000

/** What may be said of a seeded record. */
export interface Seed {
  type: string
  /** Absolute, without the final dot. */
  name: string
  content: string
  ttl?: number
  proxied?: boolean
  comment?: string
  tags?: string[]
  settings?: { flatten_cname?: boolean }
  meta?: object
}

export class CloudflareApi extends ApiServer<Body> {
  readonly token = 'cfut_bedToken000000000000000000000000000000000000'
  /** What that token may do; `none`: it reaches no zone. */
  permission: 'none' | 'read' | 'edit' = 'edit'
  /** What Cloudflare says of it when it is asked; `foreign`: a token that an account owns. */
  tokenState: TokenVerifyResponse['status'] | 'foreign' = 'active'
  records: CloudRecord[] = []
  zone: Zone
  /** Told of the records after each change, before it is answered. */
  onChange: (sets: RecordSet[]) => Promise<void> = async () => {}

  constructor(name: string) {
    super()
    this.zone = zoneNamed(name)
  }

  override reset(): void {
    super.reset()
    this.records = []
    this.permission = 'edit'
    this.tokenState = 'active'
    this.zone = zoneNamed(this.zone.name)
  }

  /** What `api-url` is to be. */
  get apiUrl(): string {
    return `${this.url}/client/v4`
  }

  /** Puts a record there as somebody else would. */
  async seed(seed: Seed): Promise<CloudRecord> {
    const made = madeOf(seed)
    this.records.push(made)
    await this.changed()
    return made
  }

  /** To be called after `records` was changed from outside. */
  async changed(): Promise<void> {
    await this.onChange(this.sets())
  }

  of(name: string, type = 'A'): CloudRecord[] {
    return this.records.filter((one) => one.name === name && one.type === type)
  }

  values(name: string, type = 'A'): string[] {
    return this.of(name, type).map(({ content }) => content ?? '')
  }

  /** The record sets as name servers serve them: a proxied name has Cloudflare's addresses. */
  sets(): RecordSet[] {
    const sets = new Map<string, RecordSet>()
    for (const { type, name, content = '', ttl, proxied } of this.records) {
      if (!['A', 'AAAA', 'CNAME'].includes(type)) continue
      const [served, shown] = proxied ? [EDGE, 'A'] : [type === 'CNAME' ? `${content}.` : content, type]
      const key = `${name} ${shown}`
      const set = sets.get(key) ?? { name: `${name}.`, type: shown, ttl: ttl === 1 ? 300 : ttl, values: [] }
      if (!set.values.includes(served)) set.values.push(served)
      sets.set(key, set)
    }
    return [...sets.values()]
  }

  protected override async answer({ method, url, headers, body }: ApiRequest<Body>): Promise<Answer> {
    const path = url.pathname.replace(/^\/client\/v4/, '')
    const violation = (text: string) => this.violations.push(`${method} ${path}: ${text}`)
    if (body !== undefined && headers['content-type'] !== 'application/json') violation('not sent as JSON')
    if (method === 'GET' && body !== undefined) violation('a body where none is expected')
    if (!/^Bearer [A-Za-z0-9_-]{40,}$/.test(headers.authorization ?? '')) {
      return failed(400, 6003, 'Invalid request headers', 6111, 'Invalid format for Authorization header')
    }
    const isKnown = headers.authorization === `Bearer ${this.token}`
    if (path === '/user/tokens/verify') return this.#verify(isKnown)
    if (!isKnown || this.tokenState === 'disabled' || this.tokenState === 'expired') {
      return failed(403, 9109, 'Invalid access token')
    }
    if (path === '/zones' && method === 'GET') {
      for (const key of url.searchParams.keys())
        if (!isIn(ZONE_QUERY, key)) violation(`query ${key} is unknown`)
      return this.#zones(url)
    }
    const prefix = `/zones/${this.zone.id}/dns_records`
    if (!path.startsWith(prefix)) {
      return failed(
        400,
        7003,
        `Could not route to ${url.pathname}, perhaps your object identifier is invalid?`,
      )
    }
    if (this.permission === 'none' || (method !== 'GET' && this.permission === 'read')) {
      return failed(403, 10000, 'Authentication error')
    }
    const rest = path.slice(prefix.length)
    if (method === 'GET' && rest === '') {
      const known = [...LIST_QUERY, ...NAME_FILTERS]
      for (const key of url.searchParams.keys()) if (!isIn(known, key)) violation(`query ${key} is unknown`)
      return this.#list(url)
    }
    if (method === 'PATCH' && /^\/[0-9a-f]{32}$/.test(rest)) {
      const patch = { id: rest.slice(1), ...(body as EditBody) }
      const answer = await this.#batch({ patches: [patch] }, violation)
      if (answer.status !== 200) return answer
      return good(this.records.find(({ id }) => id === patch.id) satisfies RecordResponse | undefined)
    }
    if (method === 'POST' && rest === '/batch') return await this.#batch((body ?? {}) as BatchBody, violation)
    violation('is not in the API')
    return failed(405, 10405, 'Method not allowed for this authentication scheme')
  }

  #verify(isKnown: boolean): Answer {
    if (!isKnown || this.tokenState === 'foreign') return failed(401, 1000, 'Invalid API Token')
    return good({
      id: 'f267e341f3dd4697bd3b9f71dd96247f',
      status: this.tokenState,
    } satisfies TokenVerifyResponse)
  }

  #zones(url: URL): Answer {
    const name = url.searchParams.get('name') ?? this.zone.name
    const found = this.permission !== 'none' && name === this.zone.name ? [this.zone] : []
    return listed(found, url, 20, 50)
  }

  #list(url: URL): Answer {
    const [name, type] = [url.searchParams.get('name.exact'), url.searchParams.get('type')]
    const found = this.records.filter(
      (record) =>
        (name ?? record.name).toLowerCase() === record.name && (type ?? record.type) === record.type,
    )
    return listed(found satisfies RecordResponse[], url, 100, MAX_PAGE)
  }

  /** All or nothing, in Cloudflare's order. */
  async #batch(
    { deletes = [], patches = [], puts = [], posts = [], ...unknown }: BatchBody,
    violation: (text: string) => void,
  ): Promise<Answer> {
    for (const key of Object.keys(unknown)) violation(`body: ${key} is unknown`)
    if (puts.length > 0) violation('puts lose what they do not name')
    for (const fields of [...patches, ...posts]) {
      const needed = ['name', 'type', 'ttl'].filter((key) => !(key in fields))
      for (const key of needed) violation(`body: ${key} is missing`)
      for (const key of Object.keys(fields))
        if (!isIn([...RECORD_FIELDS, 'id'], key)) violation(`body: ${key} is unknown`)
    }
    let next = this.records
    const answer: Required<Omit<RecordBatchResponse, 'puts'>> = { deletes: [], patches: [], posts: [] }
    for (const { id } of deletes) {
      const gone = next.find((one) => one.id === id)
      if (gone === undefined) return failed(404, 81044, 'Record does not exist.')
      next = next.filter((one) => one !== gone)
      answer.deletes.push(gone)
    }
    for (const fields of patches) {
      const old = next.find((one) => one.id === fields.id)
      if (old === undefined) return failed(404, 81044, 'Record does not exist.')
      const changed = settled({ ...old, ...(fields as object), modified_on: NOW } as CloudRecord)
      const problem = problemWith(
        changed,
        next.filter((one) => one !== old),
      )
      if (problem) return problem
      next = next.map((one) => (one === old ? changed : one))
      answer.patches.push(changed)
    }
    for (const fields of posts) {
      const made = madeOf(fields as Post & Seed)
      const problem = problemWith(made, next)
      if (problem) return problem
      next = [...next, made]
      answer.posts.push(made)
    }
    this.records = next
    await this.changed()
    return good(answer satisfies RecordBatchResponse)
  }
}

const NOW = '2026-11-01T10:00:00Z'

/** Cloudflare sets the TTL of what is proxied. */
const settled = (record: CloudRecord): CloudRecord => (record.proxied ? { ...record, ttl: 1 } : record)

function madeOf({ type, name, content, ttl = 1, ...rest }: Seed): CloudRecord {
  const id = randomBytes(16).toString('hex')
  const isAddress = type === 'A' || type === 'AAAA' || type === 'CNAME'
  const own = { id, type, name: name.toLowerCase(), content, ttl, proxied: false, proxiable: isAddress }
  const times = { created_on: NOW, modified_on: NOW }
  // Types of records that are only read are among them too.
  return settled({ settings: {}, tags: [], meta: {}, ...times, ...own, ...rest } as CloudRecord)
}

function problemWith(record: CloudRecord, others: readonly CloudRecord[]): Answer | undefined {
  const { type, content = '', ttl, name, proxied } = record
  const invalid = (code: number, text: string) => failed(400, 1004, 'DNS Validation Error', code, text)
  if (type === 'A' && !isIPv4(content))
    return invalid(9005, 'Content for A record must be a valid IPv4 address.')
  if (type === 'AAAA' && !isIPv6(content))
    return invalid(9006, 'Content for AAAA record must be a valid IPv6 address.')
  if (type === 'CNAME' && content.endsWith('.')) return invalid(9007, 'Content for CNAME record is invalid.')
  if (ttl !== 1 && (ttl < 60 || ttl > 86_400)) {
    return failed(400, 9021, 'Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.')
  }
  const beside = others.filter((other) => other.name === name)
  if (beside.some((other) => other.type === type && other.content === content)) {
    return failed(400, 81058, 'An identical record already exists.')
  }
  const isAlias = (other: CloudRecord) => other.type === 'CNAME'
  if (
    beside.some(
      (other) => isAlias(other) !== (type === 'CNAME') && ['A', 'AAAA', 'CNAME'].includes(other.type),
    )
  ) {
    return failed(400, 81053, 'An A, AAAA, or CNAME record with that host already exists.')
  }
  if (beside.some((other) => other.type === type && other.proxied !== proxied)) {
    return failed(400, 9999, 'This bed takes no record set of which one value is proxied and another is not.')
  }
  return undefined
}

const isIn = (list: readonly string[], key: string) => list.includes(key)

const good = (result: unknown): Answer => ({
  status: 200,
  body: { result, success: true, errors: [] as ResponseInfo[], messages: [] as ResponseInfo[] },
})

function listed<T>(found: readonly T[], url: URL, defaultSize: number, maxSize: number): Answer {
  const size = Number(url.searchParams.get('per_page') ?? defaultSize)
  const page = Number(url.searchParams.get('page') ?? 1)
  if (!(size >= 1 && size <= maxSize && page >= 1))
    return failed(400, 1004, 'page or per_page is out of bounds')
  const result = found.slice((page - 1) * size, page * size)
  const { body } = good(result) as { body: object }
  const counts = {
    count: result.length,
    total_count: found.length,
    total_pages: Math.ceil(found.length / size),
  }
  const answer: V4PagePaginationArrayResponse<T> = {
    result,
    result_info: { page, per_page: size, ...counts },
  }
  return { status: 200, body: { ...body, ...answer } }
}

/** An error, with what led to it where that is said. */
function failed(status: number, code: number, message: string, cause?: number, why?: string): Answer {
  const chain = cause === undefined ? {} : { error_chain: [{ code: cause, message: why }] }
  const errors: ResponseInfo[] = [{ code, message, ...chain }]
  return { status, body: { result: null, success: false, errors, messages: [] } }
}

const zoneNamed = (name: string): Zone => ({
  id: '023e105f4ecef8ad9ca31a8372d0c353',
  name,
  status: 'active',
  type: 'full',
  paused: false,
  name_servers: ['amy.ns.cloudflare.com', 'rob.ns.cloudflare.com'],
  original_name_servers: null,
  original_registrar: null,
  original_dnshost: null,
  development_mode: 0,
  activated_on: NOW,
  created_on: NOW,
  modified_on: NOW,
  account: { id: '9a7806061c88ada191ed06f989cc3dac', name: 'bed' },
  owner: {},
  plan: { name: 'Free Website' },
  meta: {},
})

export const startCloudflareApi = (zone: string): Promise<CloudflareApi> => new CloudflareApi(zone).start()
