// DigitalOcean's API, version 2: docs.digitalocean.com/reference/api/reference/domains. Its listing's `name` filter is
// absolute, the names in it are relative or `@`; host names are given without the final dot and taken only with it.
// There are no transactions: a set of several values changes one record after the other.
import type { Context } from '../../context.ts'
import { Failure } from '../../failure.ts'
import type { Provider, Zone } from '../provider.ts'
import { type ApiAnswer, NoAnswer, ProviderApi, parseObject } from '../provider-api.ts'
import { isRecordType, isSameSet, parseValue, type RecordSet } from '../record.ts'
import { describeSet, writeInPlace } from './in-place.ts'
import {
  editsTo,
  type HeldRecords,
  holdSets,
  type IdRecord,
  isHalfway,
  type Page,
  recordsOf,
} from './records-by-id.ts'

export interface DigitalOceanOptions {
  /** What stands before `/v2`; empty: DigitalOcean's own. */
  readonly apiUrl: string
  readonly token: string
}

export function digitalOcean(options: DigitalOceanOptions): Provider {
  return new DigitalOcean(options)
}

const API = 'https://api.digitalocean.com'
const PAGE_SIZE = 200

/** What stands before `/domains`, as people write it. */
export function digitalOceanBase(apiUrl: string): string {
  return `${(apiUrl || API).replace(/\/+$/, '').replace(/\/v2$/, '')}/v2`
}

type HeldSet = HeldRecords<IdRecord>

class DigitalOcean implements Provider {
  readonly name = 'DigitalOcean'
  readonly #api: ProviderApi
  readonly #baseUrl: string
  readonly #host: string

  constructor({ apiUrl, token }: DigitalOceanOptions) {
    this.#baseUrl = digitalOceanBase(apiUrl)
    this.#host = new URL(this.#baseUrl).origin
    this.#api = new ProviderApi({
      baseUrl: this.#baseUrl,
      headers: { authorization: `Bearer ${token}` },
      secret: token,
      name: this.name,
    })
  }

  async findZone(name: string, context: Context): Promise<Zone> {
    const answer = await this.#api.get(`/domains/${name}`, context)
    if (answer.status === 404 && messageOf(answer.text) !== undefined) {
      throw new Failure(`zone not found: ${name}`, {
        host: this.#host,
        seen: `status 404: ${this.#api.shown(messageOf(answer.text) ?? '')}`,
        hint: "`zone` must be a domain of the token's own team (Networking > Domains); a token of another team does not see it",
      })
    }
    const { domain } = this.#json(answer, `look up the zone ${name}`, name)
    if ((domain as { name?: unknown } | undefined)?.name !== name) throw this.#notDigitalOcean(answer.text)
    return { name, id: name }
  }

  async readRecordSets(zone: Zone, names: readonly string[], context: Context): Promise<RecordSet[]> {
    return holdSets(await this.#read(zone, names, context)).map(({ set }) => set)
  }

  async #read(zone: Zone, names: readonly string[], context: Context): Promise<IdRecord[]> {
    const read = async (page: number, name?: string): Promise<Page<IdRecord>> => {
      const filter = name === undefined ? '' : `&name=${encodeURIComponent(name)}`
      const path = `/domains/${zone.id}/records?per_page=${PAGE_SIZE}&page=${page}${filter}`
      const answer = await this.#api.get(path, context)
      const body = this.#json(answer, `read ${name ?? 'the records'}`, zone.name)
      const { domain_records: records, meta } = body as {
        domain_records?: unknown
        meta?: { total?: unknown }
      }
      const total = meta?.total
      if (!Array.isArray(records) || typeof total !== 'number') throw this.#notDigitalOcean(answer.text)
      const isLast = !this.#leadsOn(body, path, page)
      return { records: records.map((raw) => this.#record(raw, zone.name)), total, isLast }
    }
    return await recordsOf({ host: this.#host, pageSize: PAGE_SIZE, read }, names)
  }

  /** Whether there is a next page. Its address is never used as it is: the token goes to the API alone. */
  #leadsOn(body: object, path: string, page: number): boolean {
    const { links } = body as { links?: { pages?: { next?: unknown } | null } | null }
    const next = links?.pages?.next
    if (next === undefined || next === null) return false
    const here = new URL(this.#baseUrl + path)
    const url = typeof next === 'string' && URL.canParse(next) ? new URL(next) : undefined
    const isHere = url?.origin === here.origin && url.pathname === here.pathname
    if (isHere && url.searchParams.get('page') === String(page + 1)) return true
    throw new Failure(`page ${page} of the records does not lead on to page ${page + 1} of them`, {
      host: this.#host,
      seen: `links.pages.next is ${this.#api.shown(String(next))}`,
      hint: 'leave `api-url` empty for DigitalOcean itself: what answers, or changes answers on the way, leads elsewhere or in a circle',
    })
  }

  #record(raw: unknown, zone: string): IdRecord {
    const { id, type, name, data, ttl } = (raw ?? {}) as Record<string, unknown>
    if (!Number.isInteger(id) || typeof type !== 'string' || typeof name !== 'string') {
      throw this.#notDigitalOcean(JSON.stringify(raw))
    }
    const content = data === '@' ? zone : String(data ?? '')
    return {
      id: String(id),
      name: (name === '@' ? zone : `${name}.${zone}`).toLowerCase(),
      type,
      value: isRecordType(type) ? (parseValue(type, content) ?? content) : content,
      ttl: typeof ttl === 'number' ? ttl : 0,
    }
  }

  async writeRecordSet(zone: Zone, expected: RecordSet, next: RecordSet, context: Context): Promise<void> {
    const { name, type } = next
    const read = async () =>
      holdSets(await this.#read(zone, [name], context)).find(({ set }) => set.type === type)
    await writeInPlace<HeldSet>(
      {
        host: this.#host,
        read,
        write: async (held, check) => await this.#change(zone, held, next, { read, check }, context),
        // A write that was broken off in the middle may be completed, or taken back.
        mayReplace: ({ set, records }) => isSameSet(set, expected) || isHalfway(records, expected, next),
      },
      expected,
      next,
    )
  }

  /** All of it or, where the API fails in the middle, what was there before. */
  async #change(
    zone: Zone,
    held: HeldSet,
    next: RecordSet,
    { read, check }: { read: () => Promise<HeldSet | undefined>; check: () => Promise<void> },
    context: Context,
  ): Promise<void> {
    try {
      await this.#edit(zone, held, next, check, context)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      const now = await read()
      if (now === undefined || !isHalfway(now.records, held.set, next)) throw error
      const at = `${next.name} ${next.type}`
      const seen = `${error.details.seen}\n  ${at} had become ${describeSet(now.set)}`
      try {
        await this.#edit(zone, now, held.set, check, context)
      } catch (second) {
        if (!(second instanceof Failure)) throw second
        throw new Failure(error.message, {
          ...error.details,
          seen: `${seen}, and could not be taken back (${second.details.seen ?? second.message}): ${at} is ${describeSet((await read())?.set)} now`,
          cause: error,
        })
      }
      throw new Failure(error.message, {
        ...error.details,
        seen: `${seen}, and was taken back`,
        cause: error,
      })
    }
  }

  async #edit(
    zone: Zone,
    { records }: HeldSet,
    next: RecordSet,
    check: () => Promise<void>,
    context: Context,
  ): Promise<void> {
    const { changes, additions, surplus } = editsTo(records, next)
    const { name, type, ttl } = next
    const data = (value: string) => (type === 'CNAME' ? `${value}.` : value)
    const path = `/domains/${zone.id}/records`
    const call = async (method: 'PATCH' | 'POST' | 'DELETE', at: string, body?: object) => {
      const answer = await this.#api.write(method, `${path}${at}`, body, context, check)
      if (method === 'DELETE' && answer.status === 204) return
      this.#json(answer, `change ${name} ${type}`, zone.name, true)
    }
    for (const { record, value } of changes) {
      await call('PATCH', `/${record.id}`, { type, data: data(value), ttl })
    }
    const relative = name === zone.name ? '@' : name.slice(0, -zone.name.length - 1)
    for (const value of additions) await call('POST', '', { type, name: relative, data: data(value), ttl })
    for (const { id } of surplus) await call('DELETE', `/${id}`)
  }

  /** The body of a good answer; throws for any other: `NoAnswer` where a write may have been carried out. */
  #json({ status, text }: ApiAnswer, what: string, zone: string, isWrite = false): Record<string, unknown> {
    const body = parseObject(text)
    if (status >= 200 && status < 300 && body !== undefined) return body
    const failure =
      status < 300
        ? this.#notDigitalOcean(text)
        : new Failure(`could not ${what}`, {
            host: this.#host,
            seen: `status ${status}: ${this.#api.shown(messageOf(text) ?? text)}`,
            hint: status === 404 && messageOf(text) === undefined ? ELSEWHERE : hintFor(status, zone),
          })
    const isRefusal = status >= 300 && status < 500
    throw isWrite && !isRefusal ? new NoAnswer(failure.message, failure.details) : failure
  }

  #notDigitalOcean(text: string): Failure {
    return new Failure('what answers is not the DigitalOcean API, or its answer was cut short', {
      host: this.#host,
      seen: this.#api.shown(text),
      hint: 'leave `api-url` empty for DigitalOcean itself; a proxy on the way may have answered in its place',
    })
  }
}

/** The text of an error, `{ id, message, request_id }`; undefined where the answer is none of the API's. */
function messageOf(text: string): string | undefined {
  const { id, message, request_id } = parseObject(text) ?? {}
  if (typeof id !== 'string' || typeof message !== 'string') return undefined
  return `${message} (${id}${typeof request_id === 'string' ? `, request ${request_id}` : ''})`
}

const ELSEWHERE = 'leave `api-url` empty for DigitalOcean itself'

function hintFor(status: number, zone: string): string {
  switch (status) {
    case 401:
      return '`token` must be a personal access token of DigitalOcean that has not expired (API > Tokens); check the secret it comes from'
    case 403:
      return 'the token needs the scopes domain:read and domain:update'
    case 404:
      return `the record or the domain is not there any more: look at ${zone}, then run the job again`
    case 409:
      return 'another change of the domain is under way: run the job again'
    case 422:
      return 'DigitalOcean takes the record for wrong: its text above says why'
    case 429:
      return 'DigitalOcean takes 250 requests a minute and 5,000 an hour: run the job again later'
    default:
      return status >= 500 ? 'see status.digitalocean.com, then run the job again' : ELSEWHERE
  }
}
