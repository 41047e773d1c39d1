// Runs that do not come to their own end: cancelled, killed, lost, or in each other's way.
import { describe, expect, test } from 'vitest'
import { startLoad } from '../bed/load.ts'
import { until } from '../bed/process.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { bedForTest, VALUE } from './consul-bed.ts'

const action = 'consul-restart'

describe('a run that is broken off', { timeout: 150_000 }, () => {
  test('cancelled while the drain is being proven: the node is put back, nothing is restarted', async () => {
    const { apps, quietInputs: inputs, stored, consul } = await bedForTest()
    const pids = apps.map((app) => app.pid())
    const run = startAction({ action, inputs })
    await run.waitForLog(/drained in Consul/)
    const result = await run.cancel()
    expect(result.conclusion, result.log).toBe('cancelled')
    expect(result.steps[0]?.sent, result.log).toEqual(['SIGINT'])
    expect(apps.map((app) => app.pid())).toEqual(pids)
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
    expect([...(await consul.list('evenkeel/')).keys()]).toEqual([])
  })

  test('cancelled during a restart: it is brought to its end and the node is put back', async () => {
    const { apps, quietInputs: inputs, stored, consul, upsync } = await bedForTest()
    const [first, second] = apps
    const pids = apps.map((app) => app.pid())
    first!.setStartDelay(1000)
    const load = await startLoad({ url: upsync.url, rate: 200 })
    const run = startAction({ action, inputs })
    await run.waitForLog(/1\/3 .* \| restarting/)
    const result = await run.cancel()
    expect(result.conclusion, result.log).toBe('cancelled')
    expect((await load.stop()).failed).toBe(0)
    expect(first!.pid(), result.log).not.toBe(pids[0])
    expect(second!.pid()).toBe(pids[1])
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
    expect([...(await consul.list('evenkeel/upstreams/app/journal/')).keys()]).toEqual([])
    expect(await consul.get('evenkeel/upstreams/app/lock')).toBeUndefined()
  })

  test('cancelled while a node takes long to come up: the settle step puts it back', async () => {
    const { apps, quietInputs: inputs, stored, consul } = await bedForTest()
    apps[0]!.setStartDelay(12_000)
    const run = startAction({ action, inputs, deadline: 100_000 })
    await run.waitForLog(/1\/3 .* \| health:/)
    const result = await run.cancel()
    expect(result.conclusion, result.log).toBe('cancelled')
    expect(result.log).toMatch(/restored: good, status 200/)
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
    expect(await consul.get('evenkeel/upstreams/app/lock')).toBeUndefined()
  })

  test('kill -9 of the step: the settle step puts the node back', async () => {
    const { apps, quietInputs: inputs, stored, consul } = await bedForTest()
    const run = startAction({ action, inputs, deadline: 100_000 })
    await run.waitForLog(/drained in Consul/)
    run.kill9()
    const result = await run.result
    expect(result.conclusion, result.log).toBe('failure')
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
    expect([...(await consul.list('evenkeel/')).keys()]).toEqual([])
  })

  test.each([
    ['drained', /drained in Consul/, [1, 1, 1]],
    ['being restarted', /\d \| restarting/, [1, 1, 1]],
    ['restarted', /1\/3 .* \| health:/, [0, 1, 1]],
  ] as const)('a lost runner while a node is %s: the next run finds it and goes on', async (_, line, restarts) => {
    const { apps, quietInputs: inputs, stored, consul } = await bedForTest()
    const run = startAction({ action, inputs: { ...inputs, 'lease-ttl': '10s' }, deadline: 100_000 })
    await run.waitForLog(line)
    await run.lostRunner()
    expect((await stored(apps[0]!)).includes('"down":1')).toBe(true)
    await until('the first node runs', () => apps[0]!.pid() !== undefined)
    const pids = apps.map((app) => app.pid())
    const refused = await runAction({ action, inputs })
    expectFailure(refused, /another run holds the lease/, /octo-org\/site/)

    const again = await runAction({ action, inputs: { ...inputs, 'lock-wait': '1m' }, deadline: 100_000 })
    expectSuccess(again)
    expect(again.outputs['updated']?.split(',').sort()).toEqual(apps.map((app) => app.address).sort())
    expect(again.log).toContain('an earlier run (octo-org/site: ')
    for (const [index, app] of apps.entries()) {
      expect(await stored(app)).toBe(VALUE)
      expect(app.pid() === pids[index] ? 0 : 1, again.log).toBe(restarts[index])
    }
    expect([...(await consul.list('evenkeel/upstreams/app/journal/')).keys()]).toEqual([])
  })

  test('two runs at once: one is refused with the name of the other, and one that waits goes after it', async () => {
    const { quietInputs: inputs, apps, stored } = await bedForTest({ nodes: 2 })
    const first = startAction({ action, inputs, github: { run_id: '4711' } })
    await first.waitForLog(/drained in Consul/)
    const [refused, waited] = await Promise.all([
      runAction({ action, inputs }),
      runAction({ action, inputs: { ...inputs, 'lock-wait': '1m', release: 'v3' } }),
    ])
    expectFailure(refused, /another run holds the lease/, /runs\/4711/)
    expectSuccess(await first.result)
    expectSuccess(waited)
    expect(waited.outputs['updated']).toBe(apps.map((app) => app.address).join(','))
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
  })
})
