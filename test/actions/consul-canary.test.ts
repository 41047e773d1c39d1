// The first nodes on trial, and the way back.
import { describe, expect, test } from 'vitest'
import type { App } from '../bed/app.ts'
import { startLoad } from '../bed/load.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { bedForTest, VALUE } from './consul-bed.ts'

const action = 'consul-restart'
const releases = async (consul: { list(prefix: string): Promise<Map<string, { value: string }>> }) =>
  [...(await consul.list('evenkeel/upstreams/app/releases/')).values()].map(({ value }) => value)
/** Writes which version the next start serves, as an update of the node would. */
const restartTo = (apps: App[], version: string, restart: string) =>
  `case $EVENKEEL_PORT in\n${apps.map((app) => `${app.port}) echo ${version} >${app.folder}/version;;`).join('\n')}\nesac\n${restart}`

describe('canaries', { timeout: 120_000 }, () => {
  test('the canary is updated and out while it is tried, nobody else has been touched, and no request fails', async () => {
    const { apps, inputs, upsync, stored } = await bedForTest()
    const [, second, third] = apps
    const load = await startLoad({ url: upsync.url, rate: 500 })
    const drained = [
      'curl -sf "http://$EVENKEEL_ADDRESS/" | grep "version 2"',
      `curl -sf ${second!.url}/ ${third!.url}/ | grep -c "version 1"`,
      `for n in $(seq 40); do curl -sf ${upsync.url}/ | grep -v "version 2"; done | wc -l`,
    ].join('\n')
    const result = await runAction({
      action,
      inputs: {
        ...inputs,
        restart: restartTo(apps, '2', inputs['restart']!),
        ...{ canary: '1', 'canary-bake': '1s', 'verify-drained': drained },
        verify: `for n in $(seq 200); do curl -s ${upsync.url}/; done | grep -c "version 2"`,
      },
      deadline: 110_000,
    })
    const { failed, byReason } = await load.stop()
    expectSuccess(result)
    expect(failed, JSON.stringify(byReason)).toBe(0)
    expect(result.log).toMatch(/1\/3 \S+ \| 40\n/)
    expect(result.log).toMatch(/running `verify`[\s\S]*2\/3 \S+ \| drained in Consul/)
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
    const { nodes } = JSON.parse(result.outputs['report']!)
    expect(Object.keys(nodes[0].timeline)).toEqual(
      expect.arrayContaining(['tried while out', 'watched', 'tried']),
    )
    expect(Object.keys(nodes[1].timeline)).not.toContain('tried')
  })

  test('a canary that fails its trial in the pool goes back by itself with `on-failure: revert`', async () => {
    const { apps, quietInputs: inputs, stored, consul } = await bedForTest()
    expectSuccess(await runAction({ action, inputs: { ...inputs, release: 'v1' }, deadline: 80_000 }))
    const result = await runAction({
      action,
      inputs: {
        ...inputs,
        restart: restartTo(apps, '2', inputs['restart']!),
        revert: restartTo(apps, '1', inputs['restart']!),
        ...{ canary: '2', verify: 'exit 3', 'on-failure': 'revert' },
      },
      deadline: 110_000,
    })
    expectFailure(result, /`verify` failed with exit code 3/, /0 updated, 2 taken back, 1 untouched; no node/)
    for (const app of apps) {
      expect(await stored(app)).toBe(VALUE)
      expect(await (await fetch(app.url)).text()).toContain('version 1')
    }
    expect(await releases(consul)).toEqual(['v1', 'v1', 'v1'])
    const order = [...result.log.matchAll(/(\d)\/3 \S+ \| taking it back/g)].map(([, number]) => number)
    expect(order).toEqual(['2', '1'])
  })

  test('a cancel while the canary is being tried ends the command and puts the node back', async () => {
    const { quietInputs: inputs, apps, stored } = await bedForTest()
    const run = startAction({
      action,
      inputs: { ...inputs, canary: '1', 'verify-drained': 'echo "at it"; sleep 600' },
      deadline: 80_000,
    })
    await run.waitForLog(/\| at it/)
    const result = await run.cancel()
    expect(result.conclusion, result.log).toBe('cancelled')
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
  })
})
