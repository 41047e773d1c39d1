import { Agent, request } from 'undici'
import { type Context, throwIfCancelled } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { describeError, Failure } from '../failure.ts'

export interface ApiOptions {
  /** Without a final slash. */
  readonly baseUrl: string
  readonly headers: Readonly<Record<string, string>>
  /** What must never show up in an error. */
  readonly secret: string
  /** For people: `PowerDNS`. */
  readonly name: string
}

export interface ApiAnswer {
  readonly status: number
  /** At most 8 MiB. */
  readonly text: string
  /** The header, of an answer that says to come back later. */
  readonly retryAfter?: string
}

const ANSWER_TIMEOUT_MS = 15_000
const MAX_BYTES = 8 * 1024 * 1024
const READ_ATTEMPTS = 3
/** In all: providers count requests over minutes (Cloudflare over five), and a job has other things to do. */
const MAX_WAIT_MS = 10 * 60_000
/** Where a provider does not say how long. */
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 60_000

/** A provider's HTTP API: bounded answers, repeats of what is safe to repeat, no secret in any text. */
export class ProviderApi {
  readonly #options: ApiOptions
  /** What is left of it. */
  #waitMs = MAX_WAIT_MS

  constructor(options: ApiOptions) {
    this.#options = options
  }

  /** Reads; asks again when there was no answer, or a status of 502, 503 or 504. */
  async get(path: string, context: Context): Promise<ApiAnswer> {
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#patiently('GET', path, undefined, context)
        if (attempt === READ_ATTEMPTS || ![502, 503, 504].includes(answer.status)) return answer
      } catch (error) {
        if (attempt === READ_ATTEMPTS || !(error instanceof NoAnswer)) throw error
      }
      await context.clock.sleep(250 * 2 ** attempt, context.signal)
    }
  }

  /**
   * Writes, once. Throws `NoAnswer` where it is not known whether it was carried out. `check` is asked anew after each
   * wait for the provider's limit, before the write is sent again; it throws where it must not be.
   */
  async write(
    method: 'PATCH' | 'PUT' | 'POST' | 'DELETE',
    path: string,
    body: unknown,
    context: Context,
    check?: () => Promise<void>,
  ): Promise<ApiAnswer> {
    return await this.#patiently(method, path, body, context, check)
  }

  /**
   * Sends again what was refused as one request too many (429, RFC 6585: it was not carried out), when the provider
   * says; gives that answer back when it would take too long.
   */
  async #patiently(
    method: string,
    path: string,
    body: unknown,
    context: Context,
    check?: () => Promise<void>,
  ): Promise<ApiAnswer> {
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      const answer = await this.#send(method, path, body, context)
      if (answer.status !== 429) return answer
      const ms = waitOf(answer.retryAfter, context.clock.now()) ?? wait
      if (ms > this.#waitMs) return answer
      this.#waitMs -= ms
      context.log.info(
        `the ${this.#options.name} API has had too many requests: waiting ${formatDuration(ms)}`,
      )
      await context.clock.sleep(ms, context.signal)
      await check?.()
    }
  }

  /** One bounded line of an answer, for an error. */
  shown(text: string): string {
    return this.#redacted(text.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim()).slice(0, 300)
  }

  async #send(method: string, path: string, body: unknown, { signal }: Context): Promise<ApiAnswer> {
    const { baseUrl, headers, name } = this.#options
    throwIfCancelled(signal)
    const agent = new Agent({ connect: { timeout: 10_000 } })
    try {
      const response = await request(`${baseUrl}${path}`, {
        method: method as 'GET',
        dispatcher: agent,
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
        headers: {
          accept: 'application/json',
          'user-agent': 'evenkeel',
          ...headers,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const chunks: Buffer[] = []
      let bytes = 0
      for await (const chunk of response.body) {
        bytes += (chunk as Buffer).length
        if (bytes > MAX_BYTES) throw new Error(`an answer of more than ${MAX_BYTES} bytes`)
        chunks.push(chunk as Buffer)
      }
      const retryAfter = response.headers['retry-after']
      return {
        status: response.statusCode,
        text: Buffer.concat(chunks).toString('utf8'),
        ...(typeof retryAfter === 'string' ? { retryAfter } : {}),
      }
    } catch (error) {
      throwIfCancelled(signal)
      throw new NoAnswer(`the ${name} API gives no answer`, {
        host: new URL(baseUrl).origin,
        seen: this.#redacted(describeError(error)),
        hint: 'check `api-url`, that the API is switched on and listens there, and that a firewall lets this runner in',
      })
    } finally {
      await agent.destroy()
    }
  }

  #redacted(text: string): string {
    const { secret } = this.#options
    return secret === '' ? text : text.replaceAll(secret, '***')
  }
}

/** Milliseconds of a retry-after, in seconds or as a date (RFC 9110, section 10.2.3); undefined when it is neither. */
function waitOf(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now
  // One that asks for no wait would be asked without end.
  return Number.isNaN(ms) ? undefined : Math.max(ms, FIRST_WAIT_MS)
}

/** No answer came: for a write it is not known whether it was carried out. */
export class NoAnswer extends Failure {
  override readonly name = 'NoAnswer'
}

/** A JSON object (or list) of an answer; undefined for anything else, a page of a proxy above all. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
