// A rolling restart of five nodes under load: its wall time beside the shortest that can be had (the services' own
// restart times and the two windows in which every load balancer is proven to follow), and beside the usual pipeline
// of shell steps on the same servers.
import { execFile } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { agreementWindow } from '../../src/lb/agreement.ts'
import { startConsulBed, VALUE } from '../actions/consul-bed.ts'
import type { App } from '../bed/app.ts'
import { startLoad } from '../bed/load.ts'
import { until } from '../bed/process.ts'
import { runAction } from '../harness/action-run.ts'

const NODES = 5
/** How long a service takes before it listens. */
const STARTS_MS = 1_000
/** What the pipeline waits for requests in flight, of which it knows only that they may take 8 s. */
const SLEEP_MS = 10_000
const POLL_MS = 10_000

const shell = promisify(execFile)
const restart = (app: App) => shell('sh', ['-c', app.commands.restart])
const answers = (app: App) =>
  fetch(`${app.url}/ping`, { headers: { connection: 'close' } }).then(
    ({ ok }) => ok,
    () => false,
  )

const bed = await startConsulBed({ nodes: NODES })
try {
  for (const app of bed.apps) app.setStartDelay(STARTS_MS)
  const load = await startLoad({ url: bed.upsync.url, rate: 500, durationMs: 3_600_000 })

  const began = performance.now()
  const result = await runAction({ action: 'consul-restart', inputs: bed.inputs, deadline: 300_000 })
  const rollout = performance.now() - began
  if (result.conclusion !== 'success') throw new Error(result.log)
  const after = await load.report()

  const pipelineBegan = performance.now()
  for (const app of bed.apps) {
    await bed.consul.put(bed.key(app), VALUE.replace('}', ',"down":1}'))
    await wait(SLEEP_MS)
    await restart(app)
    do await wait(POLL_MS)
    while (!(await answers(app)))
    await bed.consul.put(bed.key(app), VALUE)
  }
  const pipeline = performance.now() - pipelineBegan
  const { failed } = await load.stop()

  // Without load, one after another: nothing else is waited for.
  let restarts = 0
  for (const app of bed.apps) {
    const start = performance.now()
    await restart(app)
    await until(`${app.name} is back`, () => answers(app))
    restarts += performance.now() - start
  }
  const floor = restarts + NODES * 2 * agreementWindow(500)
  const seconds = (ms: number) => Number((ms / 1000).toFixed(1))
  console.table({
    'consul-restart': { 'wall time (s)': seconds(rollout), 'requests failed': after.failed },
    'shell pipeline': { 'wall time (s)': seconds(pipeline), 'requests failed': failed - after.failed },
    floor: { 'wall time (s)': seconds(floor) },
  })
  console.log(`${(rollout / floor).toFixed(2)} x the floor (at most 1.15 is wanted)`)
  console.log(`${(pipeline / rollout).toFixed(1)} x faster than the pipeline (at least 3 is wanted)`)
  console.log(`${after.sent} requests at ${Math.round(after.sent / (after.durationMs / 1000))}/s meanwhile`)
} finally {
  await bed.stop()
}
