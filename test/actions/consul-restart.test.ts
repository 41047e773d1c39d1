import { expect, test } from 'vitest'
import { startLoad } from '../bed/load.ts'
import { runAction } from '../harness/action-run.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { bedForTest, VALUE } from './consul-bed.ts'

for (const node of ['20', '24'] as const) {
  test(`three nodes are restarted one by one under load without a failed request, on Node ${node}`, { timeout: 120_000 }, async () => {
    const { apps, upsync, inputs, valueOf, consul } = await bedForTest()
    for (const app of apps) app.setVersion('2')
    const pids = apps.map((app) => app.pid())
    const load = await startLoad({ url: upsync.url, rate: 500 })
    const result = await runAction({ action: 'consul-restart', node, inputs, deadline: 100_000 })
    await load.more(200)
    const report = await load.stop()
    expectSuccess(result)
    expect(report.failed, JSON.stringify(report.byReason)).toBe(0)
    expect(report.sent / (report.durationMs / 1000)).toBeGreaterThan(400)
    for (const [index, app] of apps.entries()) {
      expect(app.pid()).not.toBe(pids[index])
      expect(await valueOf(app)).toBe(VALUE)
    }
    expect(result.outputs['updated']).toBe(apps.map((app) => app.address).join(','))
    expect([...(await consul.list('evenkeel/')).keys()]).toEqual(
      apps.map((app) => `evenkeel/upstreams/app/releases/${app.address}`).sort(),
    )
    console.log(result.log, result.summary, report.sent, report.durationMs)
  })
}
