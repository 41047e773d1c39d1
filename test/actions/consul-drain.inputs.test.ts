import { afterAll, beforeAll, beforeEach, expect, vi } from 'vitest'
import { freePort } from '../bed/ports.ts'
import { until } from '../bed/process.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { describeInputs, expectFailure } from '../harness/input-cases.ts'
import { type ConsulBed, startConsulBed } from './consul-bed.ts'
import {
  consulInputCases,
  nodeSshCases,
  type RunWith,
  resetBed,
  startNodeHealth,
} from './consul-input-cases.ts'

vi.setConfig({ testTimeout: 60_000 })

const action = 'consul-drain'
let bed: ConsulBed

beforeAll(async () => {
  bed = await startConsulBed({ nodes: 2 })
})
beforeEach(async () => {
  await resetBed(bed)
  await until('all nodes serve', () =>
    bed.upsync.workers.every((worker) => worker.peers().every(({ down }) => !down)),
  )
})
afterAll(() => bed.stop())

const inputs = (): Record<string, string> => bed.drainInputs(bed.apps[0]!)
const run: RunWith = (overrides) => runAction({ action, inputs: { ...inputs(), ...overrides } })
const refusedBy =
  (overrides: Record<string, string>, ...patterns: RegExp[]) =>
  async () => {
    expectFailure(await run(overrides), /only 0 other nodes serve \(asked directly\)/, ...patterns)
  }

/** What the settle step asks of the node, after a drain that was killed. */
async function settleProbes(status: number, overrides: Record<string, string>): Promise<number> {
  const { port } = bed.apps[0]!
  const health = await startNodeHealth(port, status)
  try {
    const started = startAction({ action, inputs: { ...inputs(), 'health-url': health.url, ...overrides } })
    await started.waitForLog(/drained in Consul/)
    started.kill9()
    await started.result
    return health.requests(port)
  } finally {
    await health.stop()
  }
}

describeInputs(action, {
  ...consulInputCases(action, () => bed, inputs, run),
  ...nodeSshCases(() => bed, run),
  nodes: async () => {
    expectFailure(await run({ nodes: '127.0.0.1:1' }), /has no such node: 127.0.0.1:1/)
  },
  'health-url': async () => {
    const health = await startNodeHealth(bed.apps[1]!.port, 503)
    try {
      await refusedBy({ 'health-url': health.url }, /status 503/, /as told/)()
    } finally {
      await health.stop()
    }
  },
  'health-command': async () => {
    const { user, host, port } = bed.sshd
    const from = { 'health-url': '', 'health-from': `${user}@${host}:${port}` }
    await refusedBy({ ...from, 'health-command': 'echo unwell; exit 7' }, /exit code 7/, /unwell/)()
  },
  'health-tcp': async () => {
    await refusedBy({ 'health-url': '', 'health-tcp': String(await freePort()) }, /ECONNREFUSED/)()
  },
  'health-from': async () => {
    const port = await freePort()
    expectFailure(await run({ 'health-from': `u@127.0.0.1:${port}` }), `u@127.0.0.1:${port}: cannot connect`)
  },
  'health-interval': async () => {
    expect(await settleProbes(503, { 'health-interval': '10ms', 'health-timeout': '4s' })).toBeGreaterThan(12)
  },
  'health-timeout': async () => {
    // Without it the settle step would ask for 10 s.
    expect(await settleProbes(503, { 'health-timeout': '300ms' })).toBeLessThan(6)
  },
  'healthy-threshold': async () => {
    expect(
      await settleProbes(200, { 'healthy-threshold': '7', 'health-interval': '10ms' }),
    ).toBeGreaterThanOrEqual(7)
  },
  'expect-status': refusedBy({ 'expect-status': '418' }, /status 200/),
  'expect-body': refusedBy({ 'expect-body': 'all is well' }, /all is well/),
  'drain-timeout': async () => {
    const result = await run({ 'drain-timeout': '321ms' })
    expect(result.log).toMatch(/waiting all of `drain-timeout`, 321 ms/)
  },
  'min-live': async () => {
    expectFailure(
      await run({ 'min-live': '2' }),
      /only 1 other nodes serve \(Consul\), the floor `min-live` is 2/,
    )
  },
})
