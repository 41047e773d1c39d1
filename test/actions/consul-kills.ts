// A rolling restart that is broken off at each of its steps, in each way, under load, and then run again: the kill
// matrix. Plain assertions, since the long form runs apart from the tests.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { startLoad } from '../bed/load.ts'
import { childrenOf } from '../bed/process.ts'
import { type ActionRun, runAction, startAction } from '../harness/action-run.ts'
import { startConsulBed, VALUE } from './consul-bed.ts'
import { startConsulGate, type Write } from './consul-gate.ts'

/** Where a run is broken off: at a write to Consul that gets there or not, or when its log says so. */
export type Point = (
  | { readonly write: Write; readonly arrives: boolean; readonly nth?: number }
  | { readonly line: RegExp }
) & { readonly name: string; readonly canary?: boolean; readonly reverts?: boolean }

const WRITES: readonly Write[] = [
  'session',
  'lease',
  'drain',
  'restarting',
  'restarted',
  'undrain',
  'release',
]

export const POINTS: readonly Point[] = [
  ...WRITES.flatMap((write) => [
    { name: `before the write '${write}'`, write, arrives: false },
    { name: `after the write '${write}'`, write, arrives: true },
  ]),
  { name: 'while the drain is proven', line: /drained in Consul/ },
  { name: 'while requests are in flight', line: /\| out: / },
  { name: 'in the middle of the restart', line: /\| begun/ },
  { name: 'while the node comes up', line: /\| health:/ },
  { name: 'while the load balancers have it back', line: /back in Consul/ },
  { name: 'while the canary is tried, out', line: /\| trying out/, canary: true },
  { name: 'while the canary is watched', line: /watching the canary/, canary: true },
  { name: 'while the canary is tried, in', line: /\| trying in/, canary: true },
  { name: "before the way back's restart", write: 'restarting', arrives: false, nth: 2, reverts: true },
  { name: "in the middle of the way back's restart", line: /\| going back/, reverts: true },
]

export const WAYS = ['kill -9', 'lost runner', 'cancel', 'cancel, then lost runner', 'cut'] as const
export type Way = (typeof WAYS)[number]

/** Throws where a promise is broken. `rate`: requests a second. Returns how many requests were sent. */
export async function breakOff(point: Point, way: Way, rate: number): Promise<number> {
  const bed = await startConsulBed({ nodes: 2 })
  const gate = await startConsulGate(bed.consul.url)
  const [node, other] = bed.apps as [(typeof bed.apps)[0], (typeof bed.apps)[0]]
  let run: ActionRun | undefined
  try {
    const restarts = join(node.folder, 'restarts')
    // What the run is broken off in the middle of waits for this file.
    const go = join(node.folder, 'go')
    const until = (word: string) => {
      const waits = 'line' in point && point.line.test(`| ${word}`)
      return `echo ${word}\n${waits ? `until [ -e ${go} ]; do sleep 0.05; done` : ''}`
    }
    const trials = {
      ...{ canary: '1', 'canary-bake': '1500ms' },
      ...{ 'verify-drained': until('trying out'), verify: until('trying in') },
    }
    const back = {
      ...{ canary: '1', verify: 'exit 3', 'on-failure': 'revert' },
      revert: `echo back >>${restarts}\n${until('going back')}\n${node.commands.restart}`,
    }
    const steady = {
      ...bed.inputs,
      'consul-url': gate.url,
      nodes: bed.inputs['nodes']?.split('\n')[0] ?? '',
      // Who logs in to the other node, to ask for its health.
      ...{ user: bed.sshd.user, port: String(bed.sshd.port) },
      'drain-timeout': '5s',
      'lease-ttl': '10s',
    }
    const inputs = {
      ...steady,
      restart: `echo "$EVENKEEL_RELEASE" >>${restarts}\n${until('begun')}\n${node.commands.restart}`,
      ...(point.canary ? trials : {}),
      ...(point.reverts ? back : {}),
    }
    node.setStartDelay(700)
    const load = await startLoad({ url: bed.upsync.url, rate, timeoutMs: 20_000, durationMs: 600_000 })
    if (point.name === 'while requests are in flight') void fetch(`${node.url}/slow?ms=4000`).catch(() => {})

    const hold = 'write' in point ? gate.hold(point.write, point.nth) : undefined
    run = startAction({ action: 'consul-restart', inputs, deadline: 100_000 })
    const first = run
    if ('line' in point) await first.waitForLog(point.line, 90_000)
    // A run that ends without having come there is told with its log.
    const held = await Promise.race([hold, first.result.then(({ log }) => assert.fail(log))])
    const ending = {
      'kill -9': () => first.kill9(),
      'lost runner': () => void first.lostRunner(),
      cancel: () => void first.cancel(),
      'cancel, then lost runner': () => void first.cancelThenLost(),
      cut: () => {
        if (held) return
        gate.cut()
        for (const pid of childrenOf(bed.sshd.pid)) process.kill(pid, 'SIGKILL')
      },
    }
    ending[way]()
    if ('write' in point && point.arrives) await held?.deliver()
    else held?.lose()
    writeFileSync(go, '')
    const broken = await first.result
    const about = `${broken.log}\n`

    assert.equal(await bed.stored(other), VALUE, about)
    const own = async () => [...(await bed.consul.list('evenkeel/')).keys()]
    const settled = way === 'kill -9' || way === 'cancel' || way === 'cut'
    if (settled) {
      assert.equal(await bed.stored(node), VALUE, about)
      const left = (await own()).filter((key) => !key.includes('/releases/'))
      assert.deepEqual(left, [], about)
    }
    if (way === 'cut') assert.equal(broken.conclusion, point.reverts ? 'failure' : 'success', about)

    const { restart } = inputs
    const again = await runAction({
      action: 'consul-restart',
      inputs: { ...steady, restart, 'lock-wait': '1m' },
      deadline: 100_000,
    })
    const both = `${about}${again.log}`
    const report = await load.stop()
    assert.equal(again.conclusion, 'success', both)
    for (const app of bed.apps) assert.equal(await bed.stored(app), VALUE, both)
    assert.deepEqual(await own(), [`evenkeel/upstreams/app/releases/${node.address}`], both)
    const begun = existsSync(restarts) ? readFileSync(restarts, 'utf8').trim().split('\n') : []
    // Once per release; taken back to the release before, it gets the new one anew.
    const wanted = begun.includes('back') ? ['v2', 'back', 'v2'] : ['v2']
    assert.deepEqual(begun, wanted, both)
    assert.equal(report.failed, 0, `${JSON.stringify(report.byReason)}\n${both}`)
    return report.sent
  } finally {
    await run?.lostRunner().catch(() => {})
    gate.stop()
    await bed.stop()
  }
}
