import { describe, expect, test } from 'vitest'
import { startLoad } from '../bed/load.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { bedForTest, VALUE } from './consul-bed.ts'

const drain = 'consul-drain'
const undrain = 'consul-undrain'

describe('one node is taken out and put back', { timeout: 90_000 }, () => {
  for (const node of ['20', '24'] as const) {
    test(`the drain outlives its step, no request fails, and its id undoes it, on Node ${node}`, async () => {
      const { apps, upsync, drainInputs, stored, consul } = await bedForTest()
      const [first] = apps
      const load = await startLoad({ url: upsync.url, rate: 550 })
      const out = await runAction({ action: drain, node, inputs: drainInputs(first!) })
      expectSuccess(out)
      const { byNode } = await load.report()
      await load.more(300)
      expect(first!.pid()).toBeDefined()
      expect((await load.report()).byNode[first!.name]).toBe(byNode[first!.name])
      const id = out.outputs['drain-id']!
      expect(JSON.parse(out.outputs['report']!)).toMatchObject({
        address: first!.address,
        drainId: id,
        drainVerified: true,
      })
      expect(await stored(first!)).toBe(VALUE.replace('}', `,"down":1,"evenkeel":"${id}"}`))
      expect(await consul.get('evenkeel/upstreams/app/lock')).toBeUndefined()

      const { 'drain-timeout': _, ...inputs } = drainInputs(first!)
      const back = await runAction({ action: undrain, node, inputs: { ...inputs, 'drain-id': id } })
      expectSuccess(back)
      expect(back.outputs['changed']).toBe('true')
      expect(await stored(first!)).toBe(VALUE)
      expect([...(await consul.list('evenkeel/')).keys()]).toEqual([])
      await load.more(300)
      const report = await load.stop()
      expect(report.failed, JSON.stringify(report.byReason)).toBe(0)
      expect(report.byNode[first!.name]).toBeGreaterThan(byNode[first!.name]!)

      const again = await runAction({ action: undrain, node, inputs: { ...inputs, 'drain-id': id } })
      expectFailure(again, `there is no drain ${id}`, /nothing was changed/)
    })
  }

  test('a rolling restart leaves the drained node alone', async () => {
    const { apps, drainInputs, quietInputs, stored } = await bedForTest()
    const [first, second, third] = apps
    const out = await runAction({ action: drain, inputs: drainInputs(first!) })
    expectSuccess(out)
    const pid = first!.pid()
    const drained = await stored(first!)
    const result = await runAction({ action: 'consul-restart', inputs: quietInputs })
    expectSuccess(result)
    expect(result.outputs).toMatchObject({
      updated: `${second!.address},${third!.address}`,
      skipped: first!.address,
    })
    expect(result.log).toContain(`the drain ${out.outputs['drain-id']} holds it out`)
    expect(first!.pid()).toBe(pid)
    expect(await stored(first!)).toBe(drained)
  })
})

describe('a drain that cannot be', { timeout: 90_000 }, () => {
  test('the last node that serves stays in', async () => {
    const { apps, drainInputs, consul, key, stored } = await bedForTest({ nodes: 2 })
    await consul.put(key(apps[1]!), '{"down":1}')
    expectFailure(
      await runAction({ action: drain, inputs: drainInputs(apps[0]!) }),
      /only 0 other nodes serve \(Consul\)/,
    )
    expect(await stored(apps[0]!)).toBe(VALUE)
    expect(await stored(apps[1]!)).toBe('{"down":1}')
  })

  test("a node that a person has drained is not this drain's", async () => {
    const { apps, drainInputs, consul, key, stored } = await bedForTest()
    await consul.put(key(apps[0]!), '{"down":1}')
    const result = await runAction({ action: drain, inputs: drainInputs(apps[0]!) })
    expectFailure(result, /it is already drained/, /left alone/)
    expect(await stored(apps[0]!)).toBe('{"down":1}')
    expect(result.outputs['drain-id']).toBe('')
  })

  test('a worker that does not follow: refused, and put back', async () => {
    const { apps, drainInputs, upsync, stored } = await bedForTest()
    upsync.workers[0]!.freeze()
    const result = await runAction({ action: drain, inputs: drainInputs(apps[0]!) })
    expectFailure(result, /it is not proven that .* is out/)
    expect(await stored(apps[0]!)).toBe(VALUE)
  })

  test.each(['cancel', 'kill9'] as const)('%s on the way: the node is put back', async (how) => {
    const { apps, drainInputs, stored, consul } = await bedForTest()
    const run = startAction({ action: drain, inputs: drainInputs(apps[0]!) })
    await run.waitForLog(/drained in Consul/)
    run[how]()
    const result = await run.result
    expect(result.conclusion, result.log).toBe(how === 'cancel' ? 'cancelled' : 'failure')
    expect(await stored(apps[0]!)).toBe(VALUE)
    expect([...(await consul.list('evenkeel/')).keys()]).toEqual([])
  })
})

describe('an undrain that should not be', { timeout: 90_000 }, () => {
  test('a node that is not healthy stays out, and can be put back later', async () => {
    const { apps, drainInputs, stored } = await bedForTest()
    const { 'drain-timeout': _, ...inputs } = drainInputs(apps[0]!)
    const out = await runAction({ action: drain, inputs: drainInputs(apps[0]!) })
    const back = { ...inputs, 'drain-id': out.outputs['drain-id']! }
    apps[0]!.setHealthy(false)
    const result = await runAction({ action: undrain, inputs: { ...back, 'health-timeout': '500ms' } })
    expectFailure(result, /is not healthy/, /503/, /it stays out/)
    expect(await stored(apps[0]!)).toContain('"down":1')
    apps[0]!.setHealthy(true)
    expectSuccess(await runAction({ action: undrain, inputs: back }))
    expect(await stored(apps[0]!)).toBe(VALUE)
  })

  test('what a person has changed meanwhile is left as it is', async () => {
    const { apps, drainInputs, consul, key, stored } = await bedForTest()
    const { 'drain-timeout': _, ...inputs } = drainInputs(apps[0]!)
    const out = await runAction({ action: drain, inputs: drainInputs(apps[0]!) })
    await consul.put(key(apps[0]!), '{"weight":7,"down":1}')
    const result = await runAction({
      action: undrain,
      inputs: { ...inputs, 'drain-id': out.outputs['drain-id']! },
    })
    expectFailure(result, /was changed by somebody else/)
    expect(await stored(apps[0]!)).toBe('{"weight":7,"down":1}')
  })
})
