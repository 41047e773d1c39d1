import type { Context } from '../../context.ts'
import { Failure } from '../../failure.ts'
import { type ApiAnswer, NoAnswer, ProviderApi, parseObject } from '../provider-api.ts'

/** Some fields of a zone. */
export interface ApiZone {
  readonly id: string
  readonly name: string
  readonly status?: string
  readonly type?: string
  readonly paused?: boolean
  readonly name_servers?: readonly string[]
  readonly vanity_name_servers?: readonly string[]
}

/** Some fields of a record; those without a question mark are checked. */
export interface ApiRecord {
  readonly id: string
  readonly name: string
  readonly type: string
  /** Missing where a type has `data` instead. */
  readonly content: string
  readonly ttl: number
  readonly proxied?: boolean
  readonly comment?: string | null
  readonly tags?: readonly string[]
  readonly settings?: {
    readonly flatten_cname?: boolean
    readonly ipv4_only?: boolean
    readonly ipv6_only?: boolean
  }
  readonly meta?: { readonly read_only?: boolean }
  readonly locked?: boolean
}

export interface ApiList<T> {
  readonly result?: readonly T[]
  readonly result_info?: { readonly total_count?: unknown }
}

export interface ApiWrite {
  readonly method: 'PATCH' | 'POST'
  readonly path: string
  readonly body: unknown
  readonly check: () => Promise<void>
}

/** What a request is for. */
export interface Purpose {
  /** Completes "could not ...". */
  readonly what: string
  readonly zone: string
  /** The first request of a run, by which a bad token is found out. */
  readonly first?: boolean
}

const TOKEN_HINT =
  '`token` must be the secret of an API token, without `Bearer` before it (My Profile, or Manage Account, > API Tokens; the Global API Key is none), with the permissions Zone:Read and DNS:Edit for the zone'

/** Cloudflare's envelope, `{ success, errors, result }`, and what its errors mean. */
export class CloudflareApi {
  readonly host: string
  readonly #api: ProviderApi

  constructor(baseUrl: string, token: string) {
    this.host = new URL(baseUrl).origin
    this.#api = new ProviderApi({
      baseUrl,
      headers: { authorization: `Bearer ${token}` },
      secret: token,
      name: 'Cloudflare',
    })
  }

  async get<T>(path: string, purpose: Purpose, context: Context): Promise<T> {
    const answer = await this.#api.get(path, context)
    return (await this.#good(answer, purpose, context)) as T
  }

  /** A page of records. */
  async page(
    path: string,
    purpose: Purpose,
    context: Context,
  ): Promise<{ result: readonly ApiRecord[]; total: number }> {
    const { result, result_info } = await this.get<ApiList<ApiRecord>>(path, purpose, context)
    const total = result_info?.total_count
    if (!Array.isArray(result) || typeof total !== 'number') throw this.#notCloudflare(JSON.stringify(result))
    return { result: result.map((raw) => this.#record(raw)), total }
  }

  #record(raw: unknown): ApiRecord {
    const { id, name, type, ttl, content = '' } = (raw ?? {}) as Partial<ApiRecord>
    const good =
      [id, name, type, content].every((text) => typeof text === 'string') &&
      typeof ttl === 'number' &&
      id !== ''
    if (!good) throw this.#notCloudflare(JSON.stringify(raw))
    return { ...(raw as ApiRecord), content }
  }

  /** Writes, once. Throws `NoAnswer` where it is not known whether it was carried out. */
  async write({ method, path, body, check }: ApiWrite, purpose: Purpose, context: Context): Promise<void> {
    const answer = await this.#api.write(method, path, body, context, check)
    try {
      await this.#good(answer, purpose, context)
    } catch (error) {
      const isRefusal = answer.status >= 400 && answer.status < 500
      if (isRefusal || !(error instanceof Failure)) throw error
      throw new NoAnswer(error.message, error.details)
    }
  }

  /** The body of a good answer; throws for any other. */
  async #good({ status, text }: ApiAnswer, purpose: Purpose, context: Context): Promise<object> {
    const body = parseObject(text)
    if (status >= 200 && status < 300 && body?.success === true) return body
    if (body === undefined && status < 400) throw this.#notCloudflare(text)
    const errors = body === undefined ? [] : errorsOf(body)
    const said = errors.map(({ code, message }) => `${message}${code === undefined ? '' : ` (code ${code})`}`)
    const refused = [400, 401, 403].includes(status) && purpose.first === true
    const about = refused ? await this.#aboutToken(context) : undefined
    throw new Failure(`could not ${purpose.what}`, {
      host: this.host,
      seen: `status ${status}: ${this.#api.shown(said.join('; ') || text)}${about ? `\n  ${about}` : ''}`,
      hint: hintFor(status, errors, purpose),
    })
  }

  /** What Cloudflare says of a token that was refused. */
  async #aboutToken(context: Context): Promise<string> {
    const own = 'a token that an account owns cannot be asked about here'
    const { status, text } = await this.#api.get('/user/tokens/verify', context)
    const body = parseObject(text)
    const state = (body?.result as { status?: unknown } | null | undefined)?.status
    if (status === 200 && state === 'active')
      return 'the token itself is active: it lacks a permission for this'
    if (status === 200 && typeof state === 'string') return `the token is ${this.#api.shown(state)}`
    const said = body === undefined ? `status ${status}` : errorsOf(body).map(({ message }) => message)
    return `asked about the token, Cloudflare says: ${this.#api.shown(String(said))} (${own})`
  }

  #notCloudflare(text: string | undefined): Failure {
    return new Failure('what answers is not the Cloudflare API, or its answer was cut short', {
      host: this.host,
      seen: this.#api.shown(text ?? ''),
      hint: 'leave `api-url` empty for Cloudflare itself; a proxy on the way may have answered in its place',
    })
  }
}

interface ApiError {
  readonly code: number | undefined
  readonly message: string
}

/** The errors of an envelope, each with those that led to it. */
function errorsOf(body: Record<string, unknown>): ApiError[] {
  const list = (value: unknown): ApiError[] =>
    (Array.isArray(value) ? value : []).flatMap((raw: unknown) => {
      const { code, message, error_chain } = (raw ?? {}) as Record<string, unknown>
      const own = { code: typeof code === 'number' ? code : undefined, message: String(message ?? '') }
      return [own, ...list(error_chain)]
    })
  return list(body['errors']).slice(0, 10)
}

/** 9021: a TTL out of bounds; 9109, 10000, 1000: a token that is wrong or lacks a permission; 6003: none at all. */
function hintFor(status: number, errors: readonly ApiError[], { zone, first }: Purpose): string {
  const has = (...codes: number[]) => errors.some(({ code }) => code !== undefined && codes.includes(code))
  if (status === 401 || has(6003, 6111, 1000, 9109)) return TOKEN_HINT
  if (status === 403 || has(10000)) {
    return first
      ? TOKEN_HINT
      : `the token needs the permission DNS:Edit for ${zone} (besides Zone:Read), and this runner's address must not be kept out by its IP filter`
  }
  if (status === 404 && first) return 'leave `api-url` empty for Cloudflare itself'
  if (status === 404)
    return `the record or the zone is not there any more: look at ${zone}, then run the job again`
  if (status === 429) {
    return 'Cloudflare takes 1,200 requests in five minutes from all that a user runs: run the job again later'
  }
  if (status >= 500) return 'see www.cloudflarestatus.com, then run the job again'
  if (status >= 300 && status < 400) return 'leave `api-url` empty for Cloudflare itself'
  return 'Cloudflare takes the request for wrong: its text above says why'
}
