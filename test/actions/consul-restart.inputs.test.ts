import { afterAll, beforeAll, beforeEach, expect, vi } from 'vitest'
import { freePort } from '../bed/ports.ts'
import { until } from '../bed/process.ts'
import { runAction } from '../harness/action-run.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type ConsulBed, startConsulBed, VALUE } from './consul-bed.ts'
import {
  consulInputCases,
  nodeSshCases,
  type RunWith,
  resetBed,
  startNodeHealth,
} from './consul-input-cases.ts'
import { startCountingServer } from './health-input-cases.ts'

vi.setConfig({ testTimeout: 60_000 })

const action = 'consul-restart'
let bed: ConsulBed

beforeAll(async () => {
  bed = await startConsulBed({ nodes: 3 })
})
beforeEach(async () => {
  await resetBed(bed)
  await until('all nodes serve', () =>
    bed.upsync.workers.every((worker) => worker.peers().every(({ down }) => !down)),
  )
})
afterAll(() => bed.stop())

/** The first node alone; the command restarts nothing. */
const inputs = (): Record<string, string> => ({
  ...bed.quietInputs,
  nodes: bed.inputs['nodes']!.split('\n')[0]!,
  restart: 'true',
  'health-from': 'runner',
})
const run: RunWith = (overrides) => runAction({ action, inputs: { ...inputs(), ...overrides } })
const SOON = { 'health-timeout': '700ms', 'health-interval': '50ms' }

/** Health by a server that says `status` of the first node. */
async function withHealth(
  status: number,
  overrides: Record<string, string>,
  work: (result: Awaited<ReturnType<RunWith>>, requests: number) => void,
): Promise<void> {
  const { port } = bed.apps[0]!
  const health = await startNodeHealth(port, status)
  try {
    work(await run({ 'health-url': health.url, ...overrides }), health.requests(port))
  } finally {
    await health.stop()
  }
}

describeInputs(action, {
  ...consulInputCases(action, () => bed, inputs, run),
  ...nodeSshCases(() => bed, run),
  nodes: async () => {
    expectFailure(await run({ nodes: '127.0.0.1:1 u@127.0.0.1' }), /has no such node: 127.0.0.1:1/)
  },
  release: async () => {
    const result = await run({ release: 'v77', 'dry-run': 'true' })
    expect(JSON.parse(result.outputs['report']!).release).toBe('v77')
  },
  restart: async () => {
    const result = await run({
      restart: 'echo "now $EVENKEEL_RELEASE on $EVENKEEL_IP $EVENKEEL_PORT $EVENKEEL_ADDRESS"',
    })
    expectSuccess(result)
    const { address, host, port } = bed.apps[0]!
    expect(result.log).toContain(`now v2 on ${host} ${port} ${address}`)
  },
  'health-url': () =>
    withHealth(503, SOON, (result) => expectFailure(result, /not healthy after/, /status 503/, /as told/)),
  'health-command': async () => {
    const command = `[ "$EVENKEEL_PORT" != ${bed.apps[0]!.port} ] || { echo unwell; exit 7; }`
    const { user, host, port } = bed.sshd
    const result = await run({
      ...{ 'health-url': '', 'health-command': command, 'health-from': `${user}@${host}:${port}` },
      ...SOON,
    })
    expectFailure(result, /not healthy after/, /exit code 7/, /unwell/)
  },
  'health-tcp': async () => {
    const result = await run({ 'health-url': '', 'health-tcp': String(await freePort()), ...SOON })
    expectFailure(result, /only 0 other nodes serve \(asked directly\)/, /ECONNREFUSED/)
  },
  'health-from': async () => {
    const port = await freePort()
    expectFailure(await run({ 'health-from': `u@127.0.0.1:${port}` }), `u@127.0.0.1:${port}: cannot connect`)
  },
  'health-interval': () =>
    withHealth(503, { 'health-interval': '10ms', 'health-timeout': '4s' }, (_, requests) =>
      expect(requests).toBeGreaterThan(12),
    ),
  'health-timeout': () =>
    withHealth(503, { 'health-timeout': '300ms' }, (result) => expectFailure(result, /not healthy after/)),
  'healthy-threshold': () =>
    withHealth(200, { 'healthy-threshold': '7', 'health-interval': '10ms' }, (result, requests) => {
      expectSuccess(result)
      expect(requests).toBeGreaterThanOrEqual(7)
    }),
  'expect-status': async () => {
    expectFailure(await run({ 'expect-status': '418' }), /only 0 other nodes serve/, /status 200/)
  },
  'expect-body': async () => {
    const server = await startCountingServer(200, 'fine')
    try {
      const result = await run({ 'health-url': server.url, 'expect-body': 'all is well' })
      expectFailure(result, /only 0 other nodes serve/, /all is well/)
    } finally {
      await server.stop()
    }
  },
  'drain-timeout': async () => {
    const result = await run({ 'drain-timeout': '321ms' })
    expect(result.log).toMatch(/waiting all of `drain-timeout`, 321 ms/)
  },
  batch: async () => {
    const result = await run({ nodes: bed.inputs['nodes']!, batch: '67%' })
    expectSuccess(result)
    expect(result.log).toMatch(/0 of 3 nodes done; \S+ \S+: waiting for .*; \S+ \S+: waiting for/)
    expect(result.log).not.toMatch(/: waiting for .*: waiting for .*: waiting for/)
  },
  'min-live': async () => {
    expectFailure(await run({ 'min-live': '3' }), /2 others serve, the floor is 3/)
  },
  canary: async () => {
    const canary = { canary: '1', verify: 'echo "seen $EVENKEEL_ADDRESS"' }
    const result = await run({ nodes: bed.inputs['nodes']!, batch: '3', ...canary })
    expectSuccess(result)
    const [first, second] = bed.apps
    expect(result.log).toMatch(
      new RegExp(`seen ${first!.address}[\\s\\S]*${second!.address} \\| drained in Consul`),
    )
    expectFailure(await run({ canary: 'one' }), /`canary` is 'one'/)
  },
  'canary-bake': async () => {
    const result = await run({ canary: '1', 'canary-bake': '345ms' })
    expectSuccess(result)
    expect(result.log).toContain('watching the canary for 345 ms')
    expectFailure(await run({ 'canary-bake': '1m' }), /`canary-bake` is given, but there is no `canary`/)
  },
  'verify-drained': async () => {
    const result = await run({ canary: '1', 'verify-drained': 'echo "no $EVENKEEL_RELEASE"; exit 9' })
    expectFailure(result, /`verify-drained` failed with exit code 9/, /no v2/)
    expect(await bed.stored(bed.apps[0]!)).toContain('"down":1')
  },
  verify: async () => {
    const result = await run({ canary: '1', verify: 'false | true\necho never' })
    expectFailure(result, /`verify` failed with exit code 1/)
    expect(result.log).not.toMatch(/\| never/)
    expect(await bed.stored(bed.apps[0]!)).toBe(VALUE)
  },
  'on-failure': async () => {
    const bad = { restart: 'false', revert: 'echo "going back on $EVENKEEL_PORT"' }
    const back = await run({ ...bad, 'on-failure': 'revert' })
    expectFailure(back, /1 taken back/)
    expect(back.log).toContain(`going back on ${bed.apps[0]!.port}`)
    expect(await bed.stored(bed.apps[0]!)).toBe(VALUE)
    await resetBed(bed)
    const stopped = await run({ ...bad, 'on-failure': 'stop' })
    expectFailure(stopped, /out: /)
    expect(stopped.log).not.toContain('| going back on')
  },
  revert: async () => {
    expectFailure(await run({ 'on-failure': 'revert' }), /`revert` is required with `on-failure: revert`/)
    const result = await run({ restart: 'false', revert: 'echo stuck; exit 4', 'on-failure': 'revert' })
    expectFailure(result, /not all went back/, /exit code 4, last lines: stuck/)
  },
})
