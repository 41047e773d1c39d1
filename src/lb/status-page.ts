import { lookup } from 'node:dns/promises'
import { isIPv4 } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, type Dispatcher, request } from 'undici'
import { cancelled, throwIfCancelled } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Outlook } from '../ssh/steady-connection.ts'
import { tunnelDispatcher } from '../ssh/tunnel.ts'
import { type PagePeers, parseUpstreamPage, peersOf } from './upstream-page.ts'

/** The load balancers' status pages and from where they are read. */
export interface StatusPages {
  readonly urls: readonly string[]
  readonly from: Outlook | 'runner'
  /** Path of the upstream in Consul. */
  readonly upstream: string
}

const ANSWER_TIMEOUT_MS = 5_000
/** How long a reading waits for more nodes that want to know. */
const GATHER_MS = 5
const LONGEST_PAGE = 4 * 1024 * 1024

/**
 * The load balancers' own addresses, as far as they can be told from those of their pages. Names are resolved only
 * where the runner itself asks; behind SSH a name, or loopback, may be anybody.
 */
export async function pageAddresses({ urls, from }: StatusPages): Promise<ReadonlySet<string>> {
  const found = await Promise.all(
    urls.map(async (url) => {
      const { hostname } = new URL(url)
      if (isIPv4(hostname)) return from !== 'runner' && hostname.startsWith('127.') ? [] : [hostname]
      if (from !== 'runner') return []
      const answers = await lookup(hostname, { all: true, family: 4 }).catch(() => [])
      return answers.map(({ address }) => address)
    }),
  )
  return new Set(found.flat())
}

/** Readings that have been asked for and have not begun, by page. */
const asked = new WeakMap<StatusPages, Map<string, Promise<PagePeers>>>()

/**
 * Reads one page over a connection of its own: a page speaks for the worker that accepted the connection. Those who
 * ask at about the same time get the same answer, which begins after each of them has asked: a page speaks for all
 * nodes. Throws a `Failure` that names the page.
 */
export async function readStatusPage(
  url: string,
  pages: StatusPages,
  signal: AbortSignal,
): Promise<PagePeers> {
  const coming = asked.get(pages) ?? new Map<string, Promise<PagePeers>>()
  asked.set(pages, coming)
  let reading = coming.get(url)
  if (reading === undefined) {
    reading = delay(GATHER_MS).then(() => {
      coming.delete(url)
      return readOnce(url, pages)
    })
    // Each who asks hears of a failure; one who has gone meanwhile need not.
    reading.catch(() => {})
    coming.set(url, reading)
  }
  return unlessCancelled(reading, signal)
}

/** The reading goes on for the others. */
async function unlessCancelled<T>(reading: Promise<T>, signal: AbortSignal): Promise<T> {
  throwIfCancelled(signal)
  let cancel = () => {}
  const gone = new Promise<never>((_, reject) => {
    cancel = () => reject(cancelled(signal))
    signal.addEventListener('abort', cancel, { once: true })
  })
  try {
    return await Promise.race([reading, gone])
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

async function readOnce(url: string, { from, upstream }: StatusPages): Promise<PagePeers> {
  const dispatcher: Dispatcher = from === 'runner' ? new Agent({ pipelining: 0 }) : tunnelDispatcher(from)
  try {
    const { statusCode, body } = await request(url, {
      dispatcher,
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    })
    if (statusCode !== 200)
      throw new Failure('the status page of a load balancer has a wrong status', {
        seen: `status ${statusCode}`,
      })
    let text = ''
    body.setEncoding('utf8')
    for await (const chunk of body) {
      text += chunk as string
      if (text.length > LONGEST_PAGE) break
    }
    const page = parseUpstreamPage(text)
    const peers = typeof page === 'string' ? page : peersOf(page, upstream)
    if (typeof peers === 'string') {
      throw new Failure('the status page of a load balancer cannot be used', { seen: `the page ${peers}` })
    }
    return peers
  } catch (error) {
    if (error instanceof Failure)
      throw new Failure(error.message, { ...error.details, host: url, hint: hintFor(url) })
    throw new Failure('the status page of a load balancer cannot be read', {
      host: url,
      seen: error instanceof Error ? error.message : String(error),
      hint: hintFor(url),
      cause: error,
    })
  } finally {
    await dispatcher.destroy()
  }
}

function hintFor(url: string): string {
  return `look at it with curl ${url}: it must be nginx's upstream_show page; where it is served inside only, name a server as \`lb-from\``
}
