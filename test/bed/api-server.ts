// What the servers that stand for other people's APIs have in common: a real HTTP server with faults on request.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The answer to the next requests that match, instead of the real one. */
export interface Fault {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  path: RegExp
  /** 0: the connection is cut; -1: there never is an answer. */
  status: number
  headers?: Record<string, string>
  body?: unknown
  /** How many requests; default 1. */
  times?: number
  /** How many matching requests are answered well before. */
  skip?: number
  /** True: the request is carried out, its answer is lost. */
  after?: boolean
  /** The answer ends before this byte. */
  cutAt?: number
}

export interface SeenRequest<Body> {
  method: string
  path: string
  query: Record<string, string>
  body: Body
}

export interface ApiRequest<Body> {
  method: string
  url: URL
  headers: IncomingHttpHeaders
  body: Body
}

export interface Answer {
  status: number
  body?: unknown
  headers?: Record<string, string>
}

export abstract class ApiServer<Body> {
  readonly requests: SeenRequest<Body>[] = []
  /** Where a request or an answer of this server broke the API's description. */
  readonly violations: string[] = []
  #faults: (Fault & { times: number; skip: number })[] = []
  readonly #server = createServer((request, response) => void this.#serve(request, response))

  /** What the API does; it has noted the violations of its description. */
  protected abstract answer(request: ApiRequest<Body>): Answer | Promise<Answer>

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  /** `http://127.0.0.1:<port>` */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  /** Forgets everything but the address. */
  reset(): void {
    this.#faults = []
    this.requests.length = 0
    this.violations.length = 0
  }

  fail(fault: Fault): void {
    this.#faults.push({ times: 1, skip: 0, ...fault })
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(message.url ?? '/', this.url)
    let text = ''
    for await (const chunk of message.setEncoding('utf8')) text += chunk
    const request: ApiRequest<Body> = {
      method: message.method ?? '',
      url,
      headers: message.headers,
      body: text === '' ? undefined : JSON.parse(text),
    }
    const { method, body } = request
    this.requests.push({ method, path: url.pathname, query: Object.fromEntries(url.searchParams), body })
    const fault = this.#faultFor(method, url.pathname)
    if (fault?.after) await this.answer(request)
    if (fault?.status === 0) message.socket.destroy()
    if (fault && fault.status <= 0) return
    const isReal = fault === undefined || (fault.cutAt !== undefined && fault.body === undefined)
    const {
      status,
      headers,
      body: shown,
    } = isReal ? await this.answer(request) : { body: { message: 'Server Error' }, ...fault }
    const bytes = Buffer.from(
      typeof shown === 'string' ? shown : shown === undefined ? '' : JSON.stringify(shown),
    )
    response.writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      ...(status === 204 ? {} : { 'content-length': bytes.length }),
      ...headers,
    })
    if (fault?.cutAt === undefined) response.end(bytes)
    else response.write(bytes.subarray(0, fault.cutAt), () => message.socket.destroy())
  }

  #faultFor(method: string, path: string): Fault | undefined {
    const fault = this.#faults.find((one) => one.method === method && one.path.test(path) && one.times > 0)
    if (fault === undefined) return undefined
    if (fault.skip > 0) {
      fault.skip -= 1
      return undefined
    }
    fault.times -= 1
    return fault
  }
}
