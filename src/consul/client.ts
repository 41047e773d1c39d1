import { Agent, type Dispatcher, request } from 'undici'
import { type Context, throwIfCancelled } from '../context.ts'
import { describeError, Failure } from '../failure.ts'

export interface ConsulServer {
  /** Base addresses, tried in turn. */
  readonly urls: readonly string[]
  /** '' for none. */
  readonly token: string
  /** What opens the connections: from here, or through SSH. Holds the CA, too. */
  readonly dispatcher: Dispatcher
}

export interface ConsulAnswer {
  readonly status: number
  readonly text: string
  /** The address that answered. */
  readonly url: string
}

/** It is not known whether a write was done: read again and compare. */
export class AmbiguousAnswer extends Failure {
  override readonly name = 'AmbiguousAnswer'
}

const ANSWER_TIMEOUT_MS = 8_000
/** A new leader takes 2.8-3.7 s, a lost quorum is reported after about 7 s. */
const READ_FOR_MS = 15_000
const RETRY_PAUSE_MS = 300

/** A dispatcher that reaches Consul from this machine. */
export function directDispatcher(ca: string): Dispatcher {
  return new Agent({ connect: ca === '' ? {} : { ca }, connections: 4 })
}

/** Consul's HTTP API (v1) as far as errors and several servers go. */
export class ConsulClient {
  readonly #server: ConsulServer
  /** Where to begin: the server that answered last. */
  #first = 0

  constructor(server: ConsulServer) {
    this.#server = server
  }

  /** Asks until a server answers; 404 is an answer, 5xx and silence are not. */
  async read(path: string, context: Context): Promise<ConsulAnswer> {
    const { clock, signal } = context
    const start = clock.monotonic()
    for (;;) {
      const problems: string[] = []
      for (const url of this.#inTurn()) {
        const answer = await this.#ask(url, 'GET', path, undefined, signal).catch((error: unknown) => {
          throwIfCancelled(signal)
          problems.push(`${url}: ${describeError(error)}`)
          return undefined
        })
        if (answer && answer.status < 500) return this.#accept(answer, 'GET', path)
        if (answer) problems.push(`${url}: status ${answer.status}, ${firstLine(answer.text)}`)
      }
      const refused = problems.every((problem) => /ECONNREFUSED|ENOTFOUND|CERT|certificate/i.test(problem))
      if (refused || clock.monotonic() - start > READ_FOR_MS) throw unreachable(problems)
      await clock.sleep(RETRY_PAUSE_MS, signal)
    }
  }

  /**
   * Writes once. The next server is tried only while nothing can have been sent.
   * @throws AmbiguousAnswer when the write may or may not have been done
   */
  async write(
    method: 'PUT' | 'DELETE',
    path: string,
    body: string,
    { signal }: Context,
  ): Promise<ConsulAnswer> {
    const problems: string[] = []
    for (const url of this.#inTurn()) {
      throwIfCancelled(signal)
      let answer: ConsulAnswer
      try {
        // Not bound to the signal: a write that has been begun is brought to an answer.
        answer = await this.#ask(url, method, path, body, undefined)
      } catch (error) {
        problems.push(`${url}: ${describeError(error)}`)
        if (isBeforeSending(error)) continue
        throw ambiguous(method, path, problems)
      }
      if (answer.status < 500) return this.#accept(answer, method, path)
      problems.push(`${url}: status ${answer.status}, ${firstLine(answer.text)}`)
      throw ambiguous(method, path, problems)
    }
    throw unreachable(problems)
  }

  #inTurn(): string[] {
    const { urls } = this.#server
    return urls.map((_, index) => urls[(this.#first + index) % urls.length] ?? '')
  }

  async #ask(
    url: string,
    method: 'GET' | 'PUT' | 'DELETE',
    path: string,
    body: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ConsulAnswer> {
    const deadline = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
    const response = await request(`${url}${path}`, {
      method,
      dispatcher: this.#server.dispatcher,
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      headers: this.#server.token === '' ? {} : { 'X-Consul-Token': this.#server.token },
      // A string, so that undici sends Content-Length: Consul ignores a chunked body of session/create.
      ...(body === undefined ? {} : { body }),
    })
    return { status: response.statusCode, text: await response.body.text(), url }
  }

  #accept(answer: ConsulAnswer, method: string, path: string): ConsulAnswer {
    this.#first = Math.max(0, this.#server.urls.indexOf(answer.url))
    if (answer.status !== 401 && answer.status !== 403) return answer
    throw new Failure('Consul denies access', {
      host: answer.url,
      seen: `${method} ${path.split('?')[0]}: status ${answer.status}, ${firstLine(answer.text)}`,
      hint:
        this.#server.token === ''
          ? 'this Consul has access control: give a token as `consul-token`'
          : "check the token of `consul-token` and its policy: the README of the action has the least policy that's needed",
    })
  }
}

/** What a wrong status tells, for errors. */
export function unexpected(what: string, { status, text, url }: ConsulAnswer): Failure {
  return new Failure(what, { host: url, seen: `status ${status}, ${firstLine(text)}` })
}

function unreachable(problems: readonly string[]): Failure {
  return new Failure('Consul cannot be reached', {
    seen: problems.join('; '),
    hint: 'check `consul-url` and that Consul runs; where it listens on a server only, name that server as `consul-from`',
  })
}

function ambiguous(method: string, path: string, problems: readonly string[]): AmbiguousAnswer {
  return new AmbiguousAnswer('Consul gave no answer to a write', {
    seen: `${method} ${path.split('?')[0]}: ${problems.join('; ')}`,
    hint: 'check the Consul servers and their quorum, then run the job again',
  })
}

function isBeforeSending(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return (
    error instanceof Failure ||
    ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'].some(
      (one) => one === code,
    )
  )
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').trim().slice(0, 300)
}
