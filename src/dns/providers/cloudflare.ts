// Cloudflare's API, version 4: developers.cloudflare.com/api/resources/dns. A batch is one transaction, in the order
// deletes, patches, puts, posts; PATCH leaves alone what it does not name (the proxied flag, comments, tags).
import type { Context } from '../../context.ts'
import { Failure } from '../../failure.ts'
import type { Provider, Zone } from '../provider.ts'
import { isRecordType, parseValue, type RecordSet } from '../record.ts'
import { type ApiList, type ApiRecord, type ApiZone, CloudflareApi } from './cloudflare-api.ts'
import { writeInPlace } from './in-place.ts'
import {
  editsTo,
  type HeldRecords,
  holdSets,
  type IdRecord,
  type Listing,
  recordsOf,
} from './records-by-id.ts'

export interface CloudflareOptions {
  /** What stands before `/zones`; empty: Cloudflare's own. */
  readonly apiUrl: string
  readonly token: string
}

export function cloudflare(options: CloudflareOptions): Provider {
  return new Cloudflare(options)
}

const API = 'https://api.cloudflare.com/client/v4'
/** What stands before `/zones`, as people write it. */
export function cloudflareBase(apiUrl: string): string {
  const base = (apiUrl || API).replace(/\/+$/, '')
  return new URL(base).pathname === '/' ? `${base}/client/v4` : base
}

/** A TTL that means "Auto", and the seconds it is served with (developers.cloudflare.com/dns/manage-dns-records/reference/ttl). */
const AUTO = 1
const AUTO_SECONDS = 300
/** Cloudflare takes up to 5,000,000; a thousand fit into the longest answer that is read. */
const PAGE_SIZE = 1_000

/** A record with what a write gives back to it. */
export interface CloudflareRecord extends IdRecord {
  readonly raw: ApiRecord
}

class Cloudflare implements Provider {
  readonly name = 'Cloudflare'
  readonly #api: CloudflareApi

  constructor({ apiUrl, token }: CloudflareOptions) {
    this.#api = new CloudflareApi(cloudflareBase(apiUrl), token)
  }

  async findZone(name: string, context: Context): Promise<Zone> {
    const path = `/zones?name=${name}&per_page=50`
    const what = { what: `look up the zone ${name}`, zone: name, first: true }
    const { result } = await this.#api.get<ApiList<ApiZone>>(path, what, context)
    const found = (Array.isArray(result) ? result : []).filter((zone) => zone?.name === name)
    const zone = found.length > 1 ? found.find(({ status }) => status === 'active') : found[0]
    if (zone === undefined || typeof zone.id !== 'string') throw this.#noZone(name, found.length)
    const problem = zoneProblem(zone)
    if (problem !== undefined) {
      throw new Failure(`the zone ${name} ${problem.what}`, {
        host: this.#api.host,
        state: 'nothing was changed.',
        hint: problem.hint,
      })
    }
    const nameServers = [...(zone.name_servers ?? []), ...(zone.vanity_name_servers ?? [])]
    return { name, id: zone.id, ...(nameServers.length > 0 ? { nameServers } : {}) }
  }

  #noZone(name: string, found: number): Failure {
    return new Failure(`zone not found: ${name}`, {
      host: this.#api.host,
      seen: `the token is good, and reaches ${found === 0 ? 'no zone of that name' : `${found} zones of that name, none of them active`}`,
      hint: 'the token needs the permissions Zone:Read and DNS:Edit for this zone (Zone Resources of the token); `zone` must be a zone of its account',
    })
  }

  async readRecordSets(zone: Zone, names: readonly string[], context: Context): Promise<RecordSet[]> {
    return holdSets(await this.#read(zone, names, context)).map(({ set }) => set)
  }

  async #read(zone: Zone, names: readonly string[], context: Context): Promise<CloudflareRecord[]> {
    const listing: Listing<CloudflareRecord> = {
      host: this.#api.host,
      pageSize: PAGE_SIZE,
      read: async (page, name) => {
        const filter = name === undefined ? '' : `&name.exact=${encodeURIComponent(name)}`
        const path = `/zones/${zone.id}/dns_records?per_page=${PAGE_SIZE}&page=${page}${filter}`
        const what = { what: `read ${name ?? 'the records'}`, zone: zone.name }
        const { result, total } = await this.#api.page(path, what, context)
        return { records: result.map((raw) => recordOf(raw, zone.name)), total }
      },
    }
    return withMixes(await recordsOf(listing, names))
  }

  async writeRecordSet(zone: Zone, expected: RecordSet, next: RecordSet, context: Context): Promise<void> {
    const { name, type } = next
    const read = async () =>
      holdSets(await this.#read(zone, [name], context)).find(({ set }) => set.type === type)
    const write = async (held: HeldRecords<CloudflareRecord>, check: () => Promise<void>) => {
      const request = writeRequest(held.records, next)
      if (request === undefined) return
      const what = { what: `change ${name} ${type}`, zone: zone.name }
      const path = `/zones/${zone.id}/dns_records${request.path}`
      await this.#api.write({ ...request, path, check }, what, context)
    }
    await writeInPlace({ host: this.#api.host, read, write }, expected, next)
  }
}

/** Why the records of a zone are not changed here. */
function zoneProblem({ type, paused }: ApiZone): { what: string; hint: string } | undefined {
  if (type === 'secondary') {
    return {
      what: 'is a secondary here: what is written would be overwritten',
      hint: "flip the records at the zone's primary",
    }
  }
  if (type === 'partial') {
    return {
      what: 'is a partial (CNAME) setup: other name servers than Cloudflare serve it',
      hint: 'flip the records where the zone is served from',
    }
  }
  if (paused) {
    return {
      what: 'is paused on Cloudflare: its proxied records are answered with their own addresses meanwhile',
      hint: 'enable Cloudflare on the site (Overview) first: what a flip proves would change with that switch',
    }
  }
  return undefined
}

function recordOf(raw: ApiRecord, zone: string): CloudflareRecord {
  const { id, type, content, ttl, proxied } = raw
  const name = raw.name.toLowerCase()
  const value = isRecordType(type) ? (parseValue(type, content) ?? content) : content
  return {
    id,
    name,
    type,
    value,
    ttl: ttl === AUTO || proxied ? AUTO_SECONDS : ttl,
    ...(ttl === AUTO ? { autoTtl: true } : {}),
    ...(proxied === undefined ? {} : { proxied }),
    obstacle: obstacleOf(raw, name === zone),
    raw,
  }
}

function obstacleOf(
  { type, meta, locked, settings, proxied }: ApiRecord,
  isApex: boolean,
): string | undefined {
  if (meta?.read_only || locked) return 'is read-only: another Cloudflare product manages it'
  if (type === 'CNAME' && !proxied && (isApex || settings?.flatten_cname)) {
    return 'is a CNAME that Cloudflare flattens: name servers answer with addresses, so that a change of it cannot be proven'
  }
  return undefined
}

/** Where one address of a name is proxied, Cloudflare treats all of them so, whatever they say. */
function withMixes(records: readonly CloudflareRecord[]): CloudflareRecord[] {
  const isAddress = ({ type }: CloudflareRecord) => type === 'A' || type === 'AAAA'
  return records.map((record) => {
    const beside = records.filter((other) => other.name === record.name && isAddress(other))
    const isMixed = isAddress(record) && beside.some(({ proxied }) => proxied !== record.proxied)
    const obstacle = 'stands beside addresses of the same name of which some are proxied and some are not'
    return isMixed && record.obstacle === undefined ? { ...record, obstacle } : record
  })
}

/** `path` is what follows `/zones/{id}/dns_records`. */
export type CloudflareRequest =
  | { readonly method: 'PATCH'; readonly path: string; readonly body: PatchBody }
  | { readonly method: 'POST'; readonly path: '/batch'; readonly body: BatchBody }

/** The one request that turns records into a record set; undefined when there is nothing to be changed. */
export function writeRequest(
  records: readonly CloudflareRecord[],
  next: RecordSet,
): CloudflareRequest | undefined {
  const like = records[0]?.raw
  const served = next.proxied ? { ...next, ttl: AUTO_SECONDS } : next
  const { changes, additions, surplus } = editsTo(records, served)
  const ttl = next.proxied || (next.autoTtl && next.ttl === AUTO_SECONDS) ? AUTO : next.ttl
  const fields = (content: string) => ({ name: next.name, type: next.type as ApiType, content, ttl })
  const patches = changes.map(({ record: { id }, value }) => ({ id, ...fields(value) }))
  const [patch] = patches
  if (patch === undefined && additions.length === 0 && surplus.length === 0) return undefined
  if (patch && patches.length === 1 && additions.length === 0 && surplus.length === 0) {
    const { id, ...body } = patch
    return { method: 'PATCH', path: `/${id}`, body }
  }
  const body: BatchBody = {
    ...(surplus.length > 0 ? { deletes: surplus.map(({ id }) => ({ id })) } : {}),
    ...(patches.length > 0 ? { patches } : {}),
    ...(additions.length > 0
      ? { posts: additions.map((value) => ({ ...fields(value), ...kept(like) })) }
      : {}),
  }
  return { method: 'POST', path: '/batch', body }
}

/** What a further value of a set takes over from those that are there. */
function kept(like: ApiRecord | undefined): Kept {
  const { proxied, comment, tags, settings } = like ?? {}
  return {
    ...(proxied === undefined ? {} : { proxied }),
    ...(comment ? { comment } : {}),
    ...(tags && tags.length > 0 ? { tags: [...tags] } : {}),
    ...(settings && Object.keys(settings).length > 0 ? { settings } : {}),
  }
}

type ApiType = 'A' | 'AAAA' | 'CNAME'

export interface PatchBody {
  readonly name: string
  readonly type: ApiType
  readonly content: string
  readonly ttl: number
}

interface Kept {
  readonly proxied?: boolean
  readonly comment?: string
  readonly tags?: string[]
  readonly settings?: NonNullable<ApiRecord['settings']>
}

export interface BatchBody {
  readonly deletes?: { readonly id: string }[]
  readonly patches?: (PatchBody & { readonly id: string })[]
  readonly posts?: (PatchBody & Kept)[]
}
