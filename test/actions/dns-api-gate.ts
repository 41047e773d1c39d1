// Stands between an action and a provider's HTTP API: counts requests, and holds or spoils those that are chosen.
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ApiCall {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly body: string
  /** When it came, by `performance.now()`. */
  readonly at: number
}

export type Match = (call: ApiCall, before: readonly ApiCall[]) => boolean

export interface Held {
  /** Resolves once the request waits here. */
  readonly reached: Promise<void>
  /** Lets it go on, even if its sender is gone. */
  release(): void
}

export interface ApiGate {
  readonly url: string
  /** All so far, those that are held included. */
  readonly calls: readonly ApiCall[]
  /** The next request that matches waits, before it is passed on or with the answer that has come. */
  hold(match: Match, when: 'before' | 'answered'): Held
  /** The next request that matches (`times` of them) is answered here, and never passed on. */
  answer(match: Match, respond: (response: ServerResponse) => void, times?: number): void
  /** The next request that matches is carried out, but its sender gets this instead of the answer. */
  spoil(match: Match, respond: (response: ServerResponse) => void): void
  /** Forgets calls and rules; what is held is dropped. */
  reset(): void
  stop(): void
}

interface Rule {
  readonly match: Match
  times: number
  readonly before?: () => Promise<void>
  readonly after?: () => Promise<void>
  readonly respond?: (response: ServerResponse) => void
  readonly isPassedOn: boolean
}

export async function startApiGate(apiUrl: string): Promise<ApiGate> {
  let calls: ApiCall[] = []
  let rules: Rule[] = []
  const server = createServer(async (request, response) => {
    const at = performance.now()
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    const call = { method: request.method ?? 'GET', path: request.url ?? '', body, at }
    const rule = rules.find(({ match }) => match(call, calls))
    calls.push(call)
    if (rule && --rule.times === 0) rules = rules.filter((one) => one !== rule)
    await rule?.before?.()
    if (rule?.isPassedOn === false) return rule.respond?.(response)
    const { host: _, connection: __, ...headers } = request.headers as Record<string, string>
    const answer = await fetch(`${apiUrl}${call.path}`, {
      method: call.method,
      headers,
      ...(body === '' ? {} : { body }),
    })
    const text = await answer.text()
    await rule?.after?.()
    if (rule?.respond) return rule.respond(response)
    const type = answer.headers.get('content-type')
    return response.writeHead(answer.status, type ? { 'content-type': type } : {}).end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get calls() {
      return calls
    },
    hold: (match, when) => {
      let arrived = () => {}
      let release = () => {}
      const reached = new Promise<void>((resolve) => {
        arrived = resolve
      })
      const released = new Promise<void>((resolve) => {
        release = resolve
      })
      const wait = () => {
        arrived()
        return released
      }
      rules.push({ match, times: 1, isPassedOn: true, [when === 'before' ? 'before' : 'after']: wait })
      return { reached, release: () => release() }
    },
    answer: (match, respond, times = 1) => {
      rules.push({ match, times, respond, isPassedOn: false })
    },
    spoil: (match, respond) => {
      rules.push({ match, times: 1, respond, isPassedOn: true })
    },
    reset: () => {
      calls = []
      rules = []
      server.closeAllConnections()
    },
    stop: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** A write to PowerDNS that gives this name this value. */
export const writes =
  (name: string, value: string): Match =>
  ({ method, body }) =>
    method === 'PATCH' && body.includes(`"${name}."`) && body.includes(`"content":"${value}"`)

/** The n-th write to PowerDNS, counted from 1. */
export const nthWrite =
  (n: number): Match =>
  ({ method }, before) =>
    method === 'PATCH' && before.filter((call) => call.method === 'PATCH').length === n - 1

/** A read of the name, once this has been written. */
export const readsAfter =
  (name: string, written: Match): Match =>
  ({ method, path }, before) =>
    method === 'GET' && path.includes(`rrset_name=${name}.`) && before.some((call) => written(call, []))
