// Runs that do not come to their own end: cancelled, killed, lost, or in each other's way. What becomes of a run that
// is broken off at each of its steps is in consul-kills.test.ts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { App } from '../bed/app.ts'
import { startLoad } from '../bed/load.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { bedForTest, VALUE } from './consul-bed.ts'

const action = 'consul-restart'

/** How often the node has been told to stop: a restart that is done twice shows. */
const restartsOf = (app: App) => app.log().match(/: stopping$/gm)?.length ?? 0

// At the same time: most of it is waiting for leases to end.
describe.concurrent('a run that is broken off', { timeout: 240_000 }, () => {
  test('cancelled while the drain is being proven: the node is put back, nothing is restarted', async ({
    onTestFinished,
  }) => {
    const { apps, quietInputs: inputs, stored, consul } = await bedForTest({}, onTestFinished)
    const pids = apps.map((app) => app.pid())
    const run = startAction({ action, inputs, deadline: 200_000 })
    await run.waitForLog(/drained in Consul/, 60_000)
    const result = await run.cancel()
    expect(result.conclusion, result.log).toBe('cancelled')
    expect(result.steps[0]?.sent, result.log).toEqual(['SIGINT'])
    expect(apps.map((app) => app.pid())).toEqual(pids)
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
    expect([...(await consul.list('evenkeel/')).keys()]).toEqual([])
  })

  test('cancelled while a node takes long to come up: the settle step puts it back', async ({
    onTestFinished,
  }) => {
    const { apps, quietInputs: inputs, stored, consul } = await bedForTest({}, onTestFinished)
    apps[0]!.setStartDelay(12_000)
    const run = startAction({ action, inputs, deadline: 200_000 })
    await run.waitForLog(/1\/3 .* \| health:/, 60_000)
    const result = await run.cancel()
    expect(result.conclusion, result.log).toBe('cancelled')
    expect(result.log).toMatch(/restored: good, status 200/)
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
    expect(await consul.get('evenkeel/upstreams/app/lock')).toBeUndefined()
  })

  test('a lost runner while the first of three nodes is restarted: the next run goes on, each node is restarted once', async ({
    onTestFinished,
  }) => {
    const { apps, quietInputs: inputs, stored, consul } = await bedForTest({}, onTestFinished)
    const run = startAction({ action, inputs: { ...inputs, 'lease-ttl': '10s' }, deadline: 200_000 })
    await run.waitForLog(/\d \| restarting/, 60_000)
    await run.lostRunner()
    expect((await stored(apps[0]!)).includes('"down":1')).toBe(true)
    const refused = await runAction({ action, inputs, deadline: 200_000 })
    expectFailure(refused, /another run holds the lease/, /octo-org\/site/)

    const again = await runAction({ action, inputs: { ...inputs, 'lock-wait': '1m' }, deadline: 200_000 })
    expectSuccess(again)
    expect(again.outputs['updated']?.split(',').sort()).toEqual(apps.map((app) => app.address).sort())
    expect(again.log).toContain('an earlier run (octo-org/site: ')
    for (const app of apps) {
      expect(await stored(app)).toBe(VALUE)
      expect(restartsOf(app), again.log).toBe(1)
    }
    expect([...(await consul.list('evenkeel/upstreams/app/journal/')).keys()]).toEqual([])
  })

  test('kill -9 while a silent restart is under way: settle waits for its end, and the next run repeats nothing', async ({
    onTestFinished,
  }) => {
    const { apps, inputs, stored, consul, upsync } = await bedForTest({}, onTestFinished)
    const load = await startLoad({ url: upsync.url, rate: 300 })
    const gate = join(mkdtempSync(join(tmpdir(), 'evenkeel-gate-')), 'open')
    onTestFinished(() => rmSync(dirname(gate), { recursive: true }))
    const waiting = `echo begun\nuntil [ -e '${gate}' ]; do sleep 0.1; done`
    const slowly = { ...inputs, restart: `${waiting}\n${inputs['restart']}` }
    const run = startAction({ action, inputs: slowly, deadline: 200_000 })
    await run.waitForLog(/\| begun/, 60_000)
    run.kill9()
    await run.waitForLog(/waiting for the restart that is under way there/, 60_000)
    writeFileSync(gate, '')
    const result = await run.result
    expect(apps.map(restartsOf), result.log).toEqual([1, 0, 0])
    expect([...(await consul.list('evenkeel/')).keys()]).toEqual([
      `evenkeel/upstreams/app/releases/${apps[0]!.address}`,
    ])
    const again = await runAction({ action, inputs, deadline: 200_000 })
    expectSuccess(again)
    expect(again.outputs['skipped']).toBe(apps[0]!.address)
    expect(apps.map(restartsOf)).toEqual([1, 1, 1])
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
    const { failed, byReason } = await load.stop()
    expect(failed, JSON.stringify(byReason)).toBe(0)
  })

  test.for([
    ['proving a drain', /drained in Consul/],
    ['restarting a node', /\d \| restarting/],
  ] as const)('stopped while it was %s, and gone on after another run took over: it writes and restarts nothing more', async ([
    ,
    line,
  ], { onTestFinished }) => {
    const { apps, quietInputs: inputs, everything, stored } = await bedForTest({}, onTestFinished)
    const slowly = { ...inputs, restart: `sleep 1\n${inputs['restart']}`, 'lease-ttl': '10s' }
    const run = startAction({ action, inputs: slowly, deadline: 230_000 })
    await run.waitForLog(line, 60_000)
    const { pid } = run
    process.kill(pid, 'SIGSTOP')
    const second = await runAction({ action, inputs: { ...slowly, 'lock-wait': '1m' }, deadline: 200_000 })
    expectSuccess(second)
    expect(apps.map(restartsOf), second.log).toEqual([1, 1, 1])
    const before = await everything()
    process.kill(pid, 'SIGCONT')
    const result = await run.result
    // Which it meets first: Consul or the node tell it that its time is over, or the pages that the node is in again.
    expectFailure(
      result,
      /lease of this upstream was lost|a later run has taken over|it is not proven that \S+ is out/,
    )
    expect(apps.map(restartsOf), result.log).toEqual([1, 1, 1])
    expect(await everything()).toBe(before)
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
  })

  test('two runs at once: one is refused with the name of the other, and one that waits goes after it', async ({
    onTestFinished,
  }) => {
    const { quietInputs: inputs, apps, stored } = await bedForTest({ nodes: 2 }, onTestFinished)
    const first = startAction({ action, inputs, deadline: 200_000, github: { run_id: '4711' } })
    await first.waitForLog(/drained in Consul/, 60_000)
    const [refused, waited] = await Promise.all([
      runAction({ action, inputs, deadline: 200_000 }),
      runAction({ action, inputs: { ...inputs, 'lock-wait': '2m', release: 'v3' }, deadline: 230_000 }),
    ])
    expectFailure(refused, /another run holds the lease/, /runs\/4711/)
    expectSuccess(await first.result)
    expectSuccess(waited)
    expect(waited.outputs['updated']).toBe(apps.map((app) => app.address).join(','))
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
  })
})
