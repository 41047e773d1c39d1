import type { Context } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { describeError, Failure } from '../failure.ts'
import { readStatusPage, type StatusPages } from './status-page.ts'
import type { PagePeers } from './upstream-page.ts'

/** Between two rounds of fresh connections: about 40 of them in the shortest window. */
const PAUSE_MS = 40
const OBJECTION_EVERY_MS = 200
/** upsync sleeps its interval and up to 1 s after each answer; the rest is for the answers themselves. */
const SLACK_MS = 1_500
const PATIENCE_MS = 10_000

/** How long all pages must agree before it is believed, in ms: longer than any worker can lag behind. */
export function agreementWindow(intervalMs: number): number {
  return intervalMs + SLACK_MS
}

/** How long to wait where no page can be asked, in ms. */
export function unverifiedWait(intervalMs: number): number {
  return intervalMs + 2_000
}

export interface Agreement {
  /** Pages read in the window, all of which agreed. */
  readonly samples: number
}

/**
 * Waits until every page shows the node in the wanted state, over fresh connections, without a break, for the whole
 * window. `objection` is asked as well: a text from it breaks the window like a page that disagrees.
 * Throws a `Failure` that names what does not follow.
 */
export async function proveState(
  pages: StatusPages,
  address: string,
  wanted: 'down' | 'up',
  intervalMs: number,
  context: Context,
  objection: (context: Context) => Promise<string | undefined> = () => Promise.resolve(undefined),
): Promise<Agreement> {
  const { clock, signal } = context
  const window = agreementWindow(intervalMs)
  const start = clock.monotonic()
  let since: number | undefined
  let samples = 0
  let objectionAt = Number.NEGATIVE_INFINITY
  for (;;) {
    const askedAt = clock.monotonic()
    const due = askedAt - objectionAt >= OBJECTION_EVERY_MS
    if (due) objectionAt = askedAt
    const problems = await Promise.all([
      ...pages.urls.map((url) => disagreement(url, pages, address, wanted, signal)),
      due ? objection(context) : undefined,
    ])
    signal.throwIfAborted()
    const problem = problems.find((one) => one !== undefined)
    if (problem === undefined) {
      since ??= askedAt
      samples += pages.urls.length
      if (clock.monotonic() - since >= window) return { samples }
    } else {
      since = undefined
      samples = 0
      if (clock.monotonic() - start > window + PATIENCE_MS) {
        throw new Failure(`it is not proven that ${address} is ${wanted === 'down' ? 'out' : 'in'}`, {
          seen: `${problem} (${formatDuration(clock.monotonic() - start)} after Consul had it)`,
          hint: 'see whether this load balancer still follows Consul (its error log, its local agent), then run the job again',
        })
      }
    }
    await clock.sleep(PAUSE_MS, signal)
  }
}

async function disagreement(
  url: string,
  pages: StatusPages,
  address: string,
  wanted: 'down' | 'up',
  signal: AbortSignal,
): Promise<string | undefined> {
  let peers: PagePeers
  try {
    peers = await readStatusPage(url, pages, signal)
  } catch (error) {
    signal.throwIfAborted()
    return describeError(error).replaceAll('\n', ' ')
  }
  const peer = peers.get(address)
  if (peer === undefined) return `${url} does not show ${address}`
  return peer.down === (wanted === 'down')
    ? undefined
    : `a worker behind ${url} still shows ${address} ${peer.down ? 'down' : 'up'}`
}
