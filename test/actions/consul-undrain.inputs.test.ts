import { afterAll, beforeAll, beforeEach, expect, vi } from 'vitest'
import { until } from '../bed/process.ts'
import { runAction } from '../harness/action-run.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type ConsulBed, startConsulBed, VALUE } from './consul-bed.ts'
import { consulInputCases, nodeSshCases, type RunWith, resetBed } from './consul-input-cases.ts'
import { healthInputCases } from './health-input-cases.ts'

vi.setConfig({ testTimeout: 60_000 })

const action = 'consul-undrain'
let bed: ConsulBed
/** A drain of the first node, as consul-drain leaves it. */
let drained: Map<string, string>
let drainId: string

beforeAll(async () => {
  bed = await startConsulBed({ nodes: 2 })
  const out = await runAction({ action: 'consul-drain', inputs: bed.drainInputs(bed.apps[0]!) })
  expectSuccess(out)
  drainId = out.outputs['drain-id']!
  drained = new Map([...(await bed.consul.list(''))].map(([key, { value }]) => [key, value]))
})
beforeEach(async () => {
  await resetBed(bed)
  for (const [key, value] of drained) await bed.consul.put(key, value)
  await until('the first node is out', () =>
    bed.upsync.workers.every(
      (worker) => worker.peers().find(({ address }) => address === bed.apps[0]!.address)?.down,
    ),
  )
})
afterAll(() => bed.stop())

const inputs = (): Record<string, string> => {
  const { 'drain-timeout': _, ...rest } = bed.drainInputs(bed.apps[0]!)
  return { ...rest, 'drain-id': drainId }
}
const run: RunWith = (overrides) => runAction({ action, inputs: { ...inputs(), ...overrides } })

describeInputs(action, {
  ...consulInputCases(action, () => bed, inputs, run),
  ...nodeSshCases(
    () => bed,
    (overrides) => run({ 'health-from': 'node', ...overrides }),
  ),
  ...healthInputCases((overrides) => run({ 'health-url': '', 'health-from': 'node', ...overrides })),
  nodes: async () => {
    expectFailure(await run({ nodes: bed.apps[1]!.address }), /the drain .* is of .*, not of/)
  },
  'drain-id': async () => {
    const other = drainId.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
    expectFailure(await run({ 'drain-id': other }), `there is no drain ${other}`)
    expect(await bed.stored(bed.apps[0]!)).not.toBe(VALUE)
  },
})
