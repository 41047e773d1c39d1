import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { startLoad } from '../bed/load.ts'
import { freePort } from '../bed/ports.ts'
import { until } from '../bed/process.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { errorsOf, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { bedForTest, VALUE } from './consul-bed.ts'

const action = 'consul-restart'
const SOON = { 'health-timeout': '3s', 'health-interval': '100ms' }

describe('under load', { timeout: 150_000 }, () => {
  for (const node of ['20', '24'] as const) {
    test(`three nodes are restarted one by one without a failed request, on Node ${node}`, async () => {
      const { apps, upsync, inputs, stored, consul } = await bedForTest()
      for (const app of apps) app.setVersion('2')
      const pids = apps.map((app) => app.pid())
      const load = await startLoad({ url: upsync.url, rate: 550 })
      // Slower than the drain takes to be proven: the node waits for them.
      const slow = Array.from({ length: 12 }, () => fetch(`${upsync.url}/slow?ms=8000`))
      let mostOut = 0
      const look = setInterval(() => {
        for (const { peers } of upsync.workers) {
          mostOut = Math.max(mostOut, peers().filter(({ down }) => down).length)
        }
      }, 5)
      const result = await runAction({ action, node, inputs, deadline: 120_000 })
      clearInterval(look)
      await load.more(200)
      const report = await load.stop()
      expectSuccess(result)
      expect(report.failed, JSON.stringify(report.byReason)).toBe(0)
      expect(report.sent / (report.durationMs / 1000)).toBeGreaterThanOrEqual(500)
      for (const answer of slow) expect((await answer).status).toBe(200)
      for (const [index, app] of apps.entries()) {
        expect(app.pid()).not.toBe(pids[index])
        expect(await stored(app)).toBe(VALUE)
        expect(report.byNode[app.name]).toBeGreaterThan(100)
      }
      const addresses = apps.map((app) => app.address)
      expect(result.outputs).toMatchObject({ updated: addresses.join(','), failed: '', skipped: '' })
      const told = JSON.parse(result.outputs['report']!)
      expect(told).toMatchObject({ release: 'v2', upstream: 'upstreams/app', updated: addresses })
      for (const one of told.nodes) {
        expect(one).toMatchObject({ outcome: 'updated', out: false, drainVerified: true, inFlightLeft: 0 })
        expect(Object.keys(one.timeline)).toEqual(
          'drained proven quiet restarted healthy undrained confirmed'.split(' '),
        )
      }
      expect(result.summary).toContain('3 of 3 nodes updated to v2')
      // The next one is drained while this one is being seen to come back, and yet no worker has two of them out.
      expect(result.log).toMatch(
        /2\/3 \S+ \| drained in Consul[\s\S]*1\/3 \S+ \| in: the load balancers agree/,
      )
      expect(result.log).toMatch(/1\/3 \S+ \| in: the load balancers agree[\s\S]*2\/3 \S+ \| restarting/)
      expect(mostOut).toBe(1)
      expect(result.log).toMatch(/1 of 3 nodes done; .*: waiting for the load balancers to follow/)
      // Neither lease nor journal is left.
      expect([...(await consul.list('evenkeel/')).keys()]).toEqual(
        addresses.map((address) => `evenkeel/upstreams/app/releases/${address}`).sort(),
      )
    })
  }

  test('control: the same restarts without a drain fail some requests', async () => {
    const { apps, upsync } = await bedForTest()
    const load = await startLoad({ url: upsync.url, rate: 550 })
    for (const app of apps) {
      app.setStartDelay(300)
      await promisify(execFile)('sh', ['-c', app.commands.restart])
      await until(`${app.name} is back`, async () => (await fetch(`${app.url}/ping`)).ok)
      await load.more(300)
    }
    expect((await load.stop()).failed).toBeGreaterThan(0)
  })
})

describe('what is not as it should be', { timeout: 90_000 }, () => {
  test('a node that does not come up stays out, the others are not touched, and the next run takes it over', async () => {
    const { apps, quietInputs: inputs, stored } = await bedForTest()
    const [first, second, third] = apps as [(typeof apps)[0], (typeof apps)[0], (typeof apps)[0]]
    second.setBroken(true)
    const pid = third.pid()
    const result = await runAction({ action, inputs: { ...inputs, ...SOON }, deadline: 80_000 })
    expectFailure(
      result,
      /the rollout was stopped/,
      new RegExp(`${second.address}: not healthy after`),
      /refused/,
    )
    expect(result.outputs).toMatchObject({ updated: first.address, failed: second.address })
    expect(await stored(second)).toMatch(
      /^\{"weight":1,"max_fails":2,"fail_timeout":10,"down":1,"evenkeel":"evenkeel-/,
    )
    expect(await stored(first)).toBe(VALUE)
    expect(await stored(third)).toBe(VALUE)
    expect(third.pid()).toBe(pid)
    expect(result.summary).toMatch(/failed, OUT/)

    second.setBroken(false)
    const again = await runAction({ action, inputs: { ...inputs, release: 'v3' }, deadline: 80_000 })
    expectSuccess(again)
    expect(again.outputs['updated']).toBe([second, first, third].map((app) => app.address).join(','))
    expect(await stored(second)).toBe(VALUE)
  })

  test('the same release again restarts nothing', async () => {
    const { apps, quietInputs: inputs, everything } = await bedForTest({ nodes: 2 })
    expectSuccess(await runAction({ action, inputs, deadline: 80_000 }))
    const before = await everything()
    const pids = apps.map((app) => app.pid())
    const again = await runAction({ action, inputs })
    expectSuccess(again)
    expect(again.outputs).toMatchObject({ updated: '', skipped: apps.map((app) => app.address).join(',') })
    expect(apps.map((app) => app.pid())).toEqual(pids)
    expect(await everything()).toBe(before)
  })

  test('a load balancer worker that does not follow is named, and the node is put back unharmed', async () => {
    const { apps, upsync, quietInputs: inputs, stored } = await bedForTest({ nodes: 2 })
    const pids = apps.map((app) => app.pid())
    upsync.workers[1]!.freeze()
    const result = await runAction({ action, inputs, deadline: 80_000 })
    expectFailure(result, new RegExp(`a worker behind ${upsync.statusUrl.replace('?', '\\?')} still shows`))
    expect(apps.map((app) => app.pid())).toEqual(pids)
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
  })

  test("a person's drain is left alone, and so is the node", async () => {
    const { apps, consul, sshd, quietInputs: inputs, key, stored } = await bedForTest({ nodes: 3 })
    const [first, , third] = apps
    const drained = '{"weight":1,"max_fails":2,"fail_timeout":10,"down":1}'
    await consul.put(key(third!), drained)
    const pid = third!.pid()
    const nodes = inputs['nodes']!.split('\n').filter((line) => !line.startsWith(apps[1]!.address))
    const login = { user: sshd.user, port: String(sshd.port) }
    const result = await runAction({ action, inputs: { ...inputs, ...login, nodes: nodes.join('\n') } })
    expectSuccess(result)
    expect(result.outputs).toMatchObject({ updated: first!.address, skipped: third!.address })
    expect(result.log).toContain('somebody has drained it: that drain is left alone')
    expect(await stored(third!)).toBe(drained)
    expect(third!.pid()).toBe(pid)
  })

  test('a node on its way back is waited for when the other one has gone out by a person meanwhile', async () => {
    const { apps, consul, upsync, quietInputs: inputs, key } = await bedForTest()
    for (const app of apps) app.setStartDelay(1_500)
    const run = startAction({ action, inputs, deadline: 80_000 })
    await run.waitForLog(/1\/3 \S+: restarting/)
    await consul.put(key(apps[2]!), '{"weight":1,"max_fails":2,"fail_timeout":10,"down":1}')
    for (const worker of upsync.workers) worker.freeze()
    await run.waitForLog(/only 0 other nodes serve .*: waiting for those that are on their way back/)
    for (const worker of upsync.workers) worker.thaw()
    const result = await run.result
    expectFailure(result, `${apps[2]!.address} is not drained`, /already drained, by a person/)
    expect(result.outputs['updated']).toBe(`${apps[0]!.address},${apps[1]!.address}`)
    expect(result.log).toMatch(/1\/3 \S+ \| in: the load balancers agree[\s\S]*2\/3 \S+ \| drained in Consul/)
  })

  test.each([
    ['127.0.0.1:80;id', VALUE, /'127.0.0.1:80;id' is not <ip>:<port>/],
    ['127.0.0.1:09001', VALUE, /'127.0.0.1:09001' is not <ip>:<port>/],
    ['127.0.0.1:81', '{"down":1', /its value is not a JSON object/],
  ])('a key %s with the value %s is refused before anything is touched', async (address, value, problem) => {
    const { consul, quietInputs: inputs, everything, apps } = await bedForTest({ nodes: 2 })
    await consul.put(`upstreams/app/${address}`, value)
    const before = await everything()
    const pids = apps.map((app) => app.pid())
    expectFailure(await runAction({ action, inputs }), problem, /nothing was changed/)
    expect(await everything()).toBe(before)
    expect(apps.map((app) => app.pid())).toEqual(pids)
  })

  test('no node goes out when the others do not answer, although Consul and nginx call them up', async () => {
    const { apps, quietInputs: inputs, stored } = await bedForTest({ nodes: 2 })
    apps[1]!.setHealthy(false)
    const pid = apps[0]!.pid()
    const result = await runAction({ action, inputs })
    expectFailure(result, /only 0 other nodes serve \(asked directly\)/, /503/)
    expect(await stored(apps[0]!)).toBe(VALUE)
    expect(apps[0]!.pid()).toBe(pid)
  })

  test('other nodes that nobody can log in to are not taken for dead ones', async () => {
    const { apps, quietInputs: inputs, stored } = await bedForTest({ nodes: 2 })
    const result = await runAction({
      action,
      inputs: { ...inputs, nodes: inputs['nodes']!.split('\n')[0]! },
    })
    expectFailure(result, `the health of ${apps[1]!.address} cannot be asked from the node`)
    expect(result.log).toMatch(/or set `health-from`/)
    expect(await stored(apps[0]!)).toBe(VALUE)
  })

  test('a restart command that fails leaves the node out and says why', async () => {
    const { apps, quietInputs: inputs, stored } = await bedForTest({ nodes: 2 })
    const result = await runAction({
      action,
      inputs: {
        ...inputs,
        restart: 'echo "unpacking $EVENKEEL_RELEASE for $EVENKEEL_ADDRESS"\nfalse\necho never',
      },
    })
    expectFailure(result, /the restart command failed/, `unpacking v2 for ${apps[0]!.address}`, /exit code 1/)
    expect(result.log).not.toContain('| never')
    expect(await stored(apps[0]!)).toContain('"down":1')
  })
})

test('a dry run shows the plan and leaves every index as it was', { timeout: 60_000 }, async () => {
  const { apps, quietInputs: inputs, everything } = await bedForTest({ nodes: 2 })
  const before = await everything()
  const pids = apps.map((app) => app.pid())
  const result = await runAction({ action, inputs: { ...inputs, 'dry-run': 'true' } })
  expectSuccess(result)
  expect(result.summary).toContain('dry run: nothing was changed')
  const addresses = apps.map((app) => app.address)
  expect(JSON.parse(result.outputs['report']!)).toMatchObject({ dryRun: true, planned: addresses })
  expect(await everything()).toBe(before)
  expect(apps.map((app) => app.pid())).toEqual(pids)
})

test('an unreachable Consul is an error before anything is touched', async () => {
  const port = await freePort()
  const result = await runAction({
    action,
    inputs: {
      'consul-url': `http://127.0.0.1:${port}`,
      nodes: '127.0.0.1:9001 u@127.0.0.1',
      restart: 'true',
      'private-key': (await import('../bed/sshd.ts')).makeClientKey().privateKey,
    },
  })
  expectFailure(result, /Consul cannot be reached/, `http://127.0.0.1:${port}`, /ECONNREFUSED/)
})

test('bad inputs are told all together, before any connection', async () => {
  const result = await runAction({
    action,
    inputs: {
      'consul-url': 'ftp://x',
      nodes: 'web:80\n10.0.0.1:80',
      restart: '',
      batch: '0',
      'min-live': '0',
    },
  })
  expectFailure(result, /`consul-url`/, /`nodes` 'web:80'/, /`restart` is required/, /`batch`/, /`min-live`/)
  expect(errorsOf(result)).toMatch(/`private-key`/)
})
