// Load at a fixed rate, from a process of its own so that the tests do not slow it down.
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { until } from './process.ts'

export interface LoadOptions {
  /** One URL, or several that take turns. */
  url: string | string[]
  /** Requests per second; default 500. Sent whether or not earlier ones have been answered. */
  rate?: number
  /** Ends by itself after so many requests ... */
  count?: number
  /** ... or so many milliseconds; default 120,000. */
  durationMs?: number
  /** Default false: a connection for each request. */
  keepAlive?: boolean
  method?: 'GET' | 'POST'
  headers?: Record<string, string>
  /** Anything else than a status of 200-399 with this text in the body has failed. */
  expectBody?: string
  /** No more than so many at a time: a machine too slow for the rate sends less, instead of queueing without end. */
  maxInFlight?: number
  /** Of a whole request; default 10,000. */
  timeoutMs?: number
  /** Connect there, whatever the URL's host is. */
  address?: string
  /** Resolve the URL's host at this name server (`ip:port`), keeping answers for their TTL. */
  nameServer?: string
  /** Ask this resolver (`ip:port`) for the URL's host before each request, and keep nothing: TTLs are its business. */
  resolver?: string
  /** Certificates (PEM) that are trusted for https. */
  ca?: string
  /** The response header that names the node; default `x-node`. */
  nodeHeader?: string
}

export interface LoadReport {
  /** Milliseconds since 1970; all `at` are milliseconds after it. */
  startedAt: number
  durationMs: number
  sent: number
  ok: number
  failed: number
  inFlight: number
  /** Good answers by node. */
  byNode: Record<string, number>
  /** Failures by reason: `status 502`, `ECONNREFUSED`, `timeout`, ... */
  byReason: Record<string, number>
  /** The first 1,000 failures. */
  failures: { at: number; reason: string; node: string }[]
  bucketMs: number
  /** By the time of sending: requests sent, failed, and good answers by node. */
  series: { at: number; sent: number; failed: number; nodes: Record<string, number> }[]
}

export interface Load {
  /** As it stands now. */
  report(): Promise<LoadReport>
  /** Waits until so many more requests have been sent. */
  more(requests: number): Promise<void>
  /** Sends no more, waits for the answers, and gives the report. */
  stop(): Promise<LoadReport>
}

/** Starts sending; resolves once the first answers are in, good or bad. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const child = fork(join(import.meta.dirname, 'load-process.ts'), {
    execArgv: [],
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  let ended: string | undefined
  child.on('exit', (code, signal) => {
    ended = `the load generator ended (${signal ?? code})`
  })
  let final: Promise<LoadReport> | undefined
  const ask = (message: 'report' | 'stop', kind: string): Promise<LoadReport> =>
    new Promise((resolve, reject) => {
      if (ended) return reject(new Error(ended))
      const onExit = (): void => reject(new Error(ended))
      const onMessage = (answer: unknown): void => {
        const { kind: got, report } = answer as { kind: string; report: LoadReport }
        if (got !== kind) return
        child.off('message', onMessage)
        child.off('exit', onExit)
        resolve(report)
      }
      child.on('message', onMessage)
      child.on('exit', onExit)
      child.send(message)
    })
  child.send(options)
  const report = (): Promise<LoadReport> => ask('report', 'report')
  const stop = (): Promise<LoadReport> => {
    // It ends when it is let go: an end of its own might be seen before its report.
    final ??= ask('stop', 'final').finally(() => child.disconnect())
    return final
  }
  await until(
    'the load generator has its first answers',
    async () => {
      const { ok, failed } = await report()
      return ok + failed > 0
    },
    30_000,
  )
  return {
    report,
    more: async (requests) => {
      const goal = (await report()).sent + requests
      await until(`${requests} more requests are sent`, async () => (await report()).sent >= goal, 60_000)
    },
    stop,
  }
}
