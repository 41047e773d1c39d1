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

const RATES = { GET: 350, POST: 200 }
const SLOW_MS = 8_000

/**
 * GET and POST on a connection each, connections between nginx and the nodes kept alive, and every fifth rollout a
 * request of 8 s to each node. Throws when a rollout does not succeed.
 */
export async function soak(
  { rollouts, controls }: { rollouts: number; controls: number },
  say: (line: string) => void,
): Promise<SoakResult> {
  const bed = await startConsulBed({ nodes: 3, upsync: { keepalive: 16 } })
  const begin = () =>
    Promise.all(
      (['GET', 'POST'] as const).map((method) =>
        startLoad({
          ...{ url: bed.upsync.url, method, rate: RATES[method] },
          ...{ durationMs: 24 * 3_600_000, timeoutMs: 30_000 },
        }),
      ),
    )
  const end = (loads: Load[]) => Promise.all(loads.map((load) => load.stop()))
  try {
    let loads = await begin()
    const began = performance.now()
    let fewestPerDrain = Number.POSITIVE_INFINITY
    let slowFailed = 0
    for (let round = 1; round <= rollouts; round++) {
      const slow = Array.from({ length: round % 5 === 1 ? 3 : 0 }, () =>
        fetch(`${bed.upsync.url}/slow?ms=${SLOW_MS}`).then(
          ({ ok }) => ok,
          () => false,
        ),
      )
      const before = performance.now()
      const result = await runAction({
        action: 'consul-restart',
        inputs: { ...bed.inputs, release: `r${round}` },
        deadline: 300_000,
      })
      if (result.conclusion !== 'success') throw new Error(`rollout ${round}:\n${result.log}`)
      const answers = await Promise.all(slow)
      slowFailed += answers.filter((ok) => !ok).length
      const rate = RATES.GET + RATES.POST
      const { nodes } = JSON.parse(result.outputs['report'] ?? '{}') as {
        nodes: { timeline: Record<string, { at: number }> }[]
      }
      for (const { timeline } of nodes) {
        const out = (timeline['undrained']?.at ?? 0) - (timeline['drained']?.at ?? 0)
        fewestPerDrain = Math.min(fewestPerDrain, Math.floor((out / 1000) * rate))
      }
      const failed = (await Promise.all(loads.map((load) => load.report()))).reduce(
        (sum, one) => sum + one.failed,
        0,
      )
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
