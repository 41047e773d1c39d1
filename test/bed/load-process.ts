// The load generator itself, a process of its own: takes its options from the first message, sends at a fixed
// rate whatever the answers do, and answers `report` messages. It ends with its parent.
import { Resolver } from 'node:dns/promises'
import { Agent, request as requestHttp } from 'node:http'
import { request as requestHttps, Agent as TlsAgent } from 'node:https'
import type { LookupFunction } from 'node:net'
import process from 'node:process'
import { createSecureContext } from 'node:tls'
import type { LoadOptions, LoadReport } from './load.ts'

const bucketMs = 100
const failuresKept = 1000

process.on('disconnect', () => process.exit(0))
process.once('message', (options: LoadOptions) => generate(options))

function generate(options: LoadOptions): void {
  const { rate = 500, keepAlive = false, method = 'GET', timeoutMs = 10_000, nodeHeader = 'x-node' } = options
  const urls = [options.url].flat().map((url) => new URL(url))
  const most = options.count ?? Number.POSITIVE_INFINITY
  const longest = options.durationMs ?? 120_000
  const lookup = lookupOf(options)
  // TLS sessions are resumed, as browsers do; a handshake of its own for each would be a load on the generator above all.
  const secureContext = createSecureContext({ ca: options.ca })
  const secureAgent = new TlsAgent({ keepAlive, maxSockets: keepAlive ? 256 : Infinity, secureContext })
  const agent = keepAlive ? new Agent({ keepAlive: true, maxSockets: 256 }) : false
  const body = method === 'POST' ? 'x=1' : undefined
  const began = performance.now()
  const report: LoadReport = {
    startedAt: Date.now(),
    durationMs: 0,
    sent: 0,
    ok: 0,
    failed: 0,
    inFlight: 0,
    byNode: {},
    byReason: {},
    failures: [],
    bucketMs,
    series: [],
  }

  const bucketOf = (at: number): LoadReport['series'][number] => {
    const index = Math.floor(at / bucketMs)
    while (report.series.length <= index)
      report.series.push({ at: report.series.length * bucketMs, sent: 0, failed: 0, nodes: {} })
    return report.series[index]!
  }

  function send(): void {
    const url = urls[report.sent % urls.length]!
    const at = performance.now() - began
    const bucket = bucketOf(at)
    let settled = false
    report.sent++
    report.inFlight++
    bucket.sent++
    const settle = (reason: string | undefined, node = 'unknown'): void => {
      if (settled) return
      settled = true
      report.inFlight--
      if (reason === undefined) {
        report.ok++
        report.byNode[node] = (report.byNode[node] ?? 0) + 1
        bucket.nodes[node] = (bucket.nodes[node] ?? 0) + 1
        return
      }
      report.failed++
      bucket.failed++
      report.byReason[reason] = (report.byReason[reason] ?? 0) + 1
      if (report.failures.length < failuresKept) report.failures.push({ at: Math.round(at), reason, node })
    }
    const isSecure = url.protocol === 'https:'
    const request = isSecure ? requestHttps : requestHttp
    const sent = request(
      url,
      {
        method,
        agent: isSecure ? secureAgent : agent,
        ...(lookup ? { lookup } : {}),
        headers: {
          ...options.headers,
          ...(keepAlive ? {} : { connection: 'close' }),
          ...(body
            ? { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length }
            : {}),
        },
      },
      (response) => {
        const node = String(response.headers[nodeHeader] ?? 'unknown')
        const status = response.statusCode ?? 0
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => {
          if (options.expectBody !== undefined) text += part
        })
        response.on('aborted', () => settle('answer cut off', node))
        response.on('error', (error) => settle(error.message, node))
        response.on('end', () => {
          if (status < 200 || status > 399) settle(`status ${status}`, node)
          else if (options.expectBody !== undefined && !text.includes(options.expectBody))
            settle('wrong body', node)
          else settle(undefined, node)
        })
      },
    )
    // Of the whole request, not of a pause in it.
    const timer = setTimeout(() => sent.destroy(new Error('timeout')), timeoutMs)
    sent.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message))
    sent.on('close', () => clearTimeout(timer))
    sent.end(body)
  }

  const tick = setInterval(() => {
    const elapsed = performance.now() - began
    const due = Math.min(most, Math.floor((Math.min(elapsed, longest) * rate) / 1000))
    // A stalled machine must not turn into a burst beyond what one tick can carry.
    for (let batch = 0; report.sent < due && batch < rate; batch++) send()
    if (report.sent >= most || elapsed >= longest) end()
  }, 5)

  function end(): void {
    clearInterval(tick)
    if (report.durationMs === 0) report.durationMs = Math.round(performance.now() - began)
  }

  const current = (): LoadReport => ({
    ...report,
    durationMs: report.durationMs || Math.round(performance.now() - began),
  })
  process.on('message', (message) => {
    if (message === 'report') process.send!({ kind: 'report', report: current() })
    if (message !== 'stop') return
    end()
    const finish = (): void => {
      if (report.inFlight > 0) return void setTimeout(finish, 10)
      process.send!({ kind: 'final', report: current() })
    }
    finish()
  })
}

/** Names resolved at a name server of the bed (`ip:port`), kept for their TTL as a resolver would; at a resolver, each time; or fixed. */
function lookupOf(options: LoadOptions): LookupFunction | undefined {
  const { address, nameServer } = options
  if (address) return (_host, _options, done) => answerLookup(_options, done, address)
  const asked = nameServer ?? options.resolver
  if (!asked) return undefined
  // A datagram that a busy machine has lost is sent again soon, as by any stub resolver.
  const resolver = new Resolver({ timeout: 500, tries: 6 })
  resolver.setServers([asked])
  if (!nameServer)
    return (host, lookupOptions, done) => {
      resolver.resolve4(host).then(
        ([first]) => answerLookup(lookupOptions, done, first!),
        (error: NodeJS.ErrnoException) => done(error, '', 4),
      )
    }
  const known = new Map<string, { until: number; found: Promise<string> }>()
  return (host, lookupOptions, done) => {
    let entry = known.get(host)
    if (!entry || entry.until < performance.now()) {
      const made = { until: Number.POSITIVE_INFINITY, found: Promise.resolve('') }
      made.found = resolver.resolve4(host, { ttl: true }).then((records) => {
        made.until = performance.now() + records[0]!.ttl * 1000
        return records[0]!.address
      })
      made.found.catch(() => known.delete(host))
      known.set(host, made)
      entry = made
    }
    entry.found.then(
      (found) => answerLookup(lookupOptions, done, found),
      (error: NodeJS.ErrnoException) => done(error, '', 4),
    )
  }
}

function answerLookup(
  options: Parameters<LookupFunction>[1],
  done: Parameters<LookupFunction>[2],
  address: string,
): void {
  if (options.all) done(null, [{ address, family: 4 }])
  else done(null, address, 4)
}
