// Rollouts over three nodes, one after another, under load whose every request is counted; and the same restarts
// without a drain as a control.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { startConsulBed } from '../actions/consul-bed.ts'
import { type Load, startLoad } from '../bed/load.ts'
import { until } from '../bed/process.ts'
import { runAction } from '../harness/action-run.ts'

export interface SoakResult {
  rollouts: number
  /** Requests during the rollouts, and how many of them failed, by reason. */
  sent: number
  failed: number
  byReason: Record<string, number>
  perSecond: number
  /** The fewest requests while a node was out. */
  fewestPerDrain: number
  /** Failed requests of each round of restarts without a drain. */
  control: number[]
}

/** Each of them GET and POST, on a connection for each request and on kept ones: 560 requests a second. */
const LOADS = (['GET', 'POST'] as const).flatMap((method) =>
  [false, true].map((keepAlive) => ({ method, keepAlive, rate: 140 })),
)
const SLOW_MS = 8_000
/** Slow requests at the same time, GET and POST. */
const SLOW = 6

/**
 * Connections between nginx and the nodes are kept alive, too; every fifth rollout begins with requests of 8 s to each
 * node. Throws when a rollout does not succeed.
 */
export async function soak(
  { rollouts, controls }: { rollouts: number; controls: number },
  say: (line: string) => void,
): Promise<SoakResult> {
  const bed = await startConsulBed({ nodes: 3, upsync: { keepalive: 16 } })
  const begin = () =>
    Promise.all(
      LOADS.map((load) =>
        startLoad({ ...load, url: bed.upsync.url, durationMs: 24 * 3_600_000, timeoutMs: 30_000 }),
      ),
    )
  const end = (loads: Load[]) => Promise.all(loads.map((load) => load.stop()))
  try {
    let loads = await begin()
    const began = performance.now()
    let fewestPerDrain = Number.POSITIVE_INFINITY
    let slowFailed = 0
    /** Failures of each load that have been shown. */
    const told: number[] = []
    let logged = 0
    let failedBefore = 0
    for (let round = 1; round <= rollouts; round++) {
      const slow = Array.from({ length: round % 5 === 1 ? SLOW : 0 }, (_, index) =>
        fetch(`${bed.upsync.url}/slow?ms=${SLOW_MS}`, { method: index % 2 === 0 ? 'GET' : 'POST' }).then(
          ({ ok }) => ok,
          () => false,
        ),
      )
      const before = performance.now()
      /** When each node went out and came back. */
      const drains: { from: number; to: number }[] = []
      const result = await runAction({
        action: 'consul-restart',
        inputs: { ...bed.inputs, release: `r${round}` },
        deadline: 300_000,
        onLine: (line) => {
          if (line.endsWith('drained in Consul')) drains.push({ from: Date.now(), to: 0 })
          const last = drains.at(-1)
          if (last && line.endsWith('back in Consul')) last.to = Date.now()
        },
      })
      if (result.conclusion !== 'success') throw new Error(`rollout ${round}:\n${result.log}`)
      const answers = await Promise.all(slow)
      slowFailed += answers.filter((ok) => !ok).length
      const reports = await Promise.all(loads.map((load) => load.report()))
      for (const { from, to } of drains) {
        const during = reports.flatMap(({ startedAt, series }) =>
          series.filter(({ at }) => startedAt + at >= from && startedAt + at < to),
        )
        fewestPerDrain = Math.min(
          fewestPerDrain,
          during.reduce((sum, { sent }) => sum + sent, 0),
        )
      }
      const failed = reports.reduce((sum, one) => sum + one.failed, slowFailed)
      for (const [index, { startedAt, failures }] of reports.entries()) {
        for (const { at, reason, node } of failures.slice(told[index])) {
          const when = drains.map(({ from, to }) => `${startedAt + at - from}..${startedAt + at - to}`)
          say(`  ${JSON.stringify(LOADS[index])}: ${reason} ${node}, ms since out..in: ${when.join(' ')}`)
        }
        told[index] = failures.length
      }
      if (failed > failedBefore) {
        const errors = bed.upsync
          .log()
          .split('\n')
          .filter((line) => /\[(error|crit|alert)\]/.test(line))
        for (const line of errors.slice(logged)) say(`  nginx: ${line}`)
        logged = errors.length
      }
      failedBefore = failed
      const seconds = ((performance.now() - before) / 1000).toFixed(1)
      say(`rollout ${round} of ${rollouts}: ${seconds} s, ${failed} requests failed so far`)
    }
    const durationMs = performance.now() - began
    const reports = await end(loads)

    const control: number[] = []
    for (let round = 1; round <= controls; round++) {
      loads = await begin()
      for (const app of bed.apps) {
        app.setStartDelay(300)
        await promisify(execFile)('sh', ['-c', app.commands.restart])
        await until(`${app.name} is back`, async () => (await fetch(`${app.url}/ping`)).ok)
        await loads[0]?.more(200)
      }
      control.push((await end(loads)).reduce((sum, { failed }) => sum + failed, 0))
      say(`without a drain: ${control.at(-1)} requests failed`)
    }
    const sent = reports.reduce((sum, one) => sum + one.sent, 0)
    const byReason: Record<string, number> = slowFailed > 0 ? { 'slow requests': slowFailed } : {}
    for (const { byReason: reasons } of reports)
      for (const [reason, count] of Object.entries(reasons))
        byReason[reason] = (byReason[reason] ?? 0) + count
    const failed = reports.reduce((sum, one) => sum + one.failed, slowFailed)
    const perSecond = Math.round(sent / (durationMs / 1000))
    return { rollouts, sent, failed, byReason, perSecond, fewestPerDrain, control }
  } finally {
    await bed.stop()
  }
}
