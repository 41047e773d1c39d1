// Connections that are cut and servers that die while a rollout is under way: it goes on.
import process from 'node:process'
import { expect, onTestFinished, test } from 'vitest'
import type { App } from '../bed/app.ts'
import { startConsulCluster } from '../bed/consul.ts'
import { startLoad } from '../bed/load.ts'
import { childrenOf } from '../bed/process.ts'
import { startAction } from '../harness/action-run.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { bedForTest, VALUE } from './consul-bed.ts'
import { gate } from './dns-scene.ts'

const action = 'consul-restart'
const restartsOf = (app: App) => app.log().match(/: stopping$/gm)?.length ?? 0

test.each([
  ['a drain is proven', /drained in Consul/],
  ['a node is restarted', /\| begun/],
  ['a node comes up', /\| health:/],
])(
  'all SSH connections are cut while %s: the rollout goes on, each node is restarted once',
  {
    timeout: 150_000,
  },
  async (_, line) => {
    const { apps, inputs, sshd, stored, upsync } = await bedForTest({ nodes: 2 })
    for (const app of apps) app.setStartDelay(800)
    const load = await startLoad({ url: upsync.url, rate: 500 })
    const restart = `echo begun\nsleep 2\n${inputs['restart']}`
    const run = startAction({ action, inputs: { ...inputs, restart }, deadline: 120_000 })
    await run.waitForLog(line)
    for (const pid of childrenOf(sshd.pid)) process.kill(pid, 'SIGKILL')
    const result = await run.result
    const { failed, byReason } = await load.stop()
    expectSuccess(result)
    expect(failed, JSON.stringify(byReason)).toBe(0)
    expect(apps.map(restartsOf), result.log).toEqual([1, 1])
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
  },
)

test('the leader of a cluster of three is killed while a node is out: the rollout goes on, its lease taken anew', {
  timeout: 150_000,
}, async () => {
  const cluster = await startConsulCluster()
  onTestFinished(() => cluster.stop())
  const leader = cluster.servers[await cluster.leader()]!
  const followers = cluster.servers.filter((server) => server !== leader)
  const { apps, inputs, stored, upsync } = await bedForTest({ nodes: 2, consul: followers[0]! })
  const load = await startLoad({ url: upsync.url, rate: 500 })
  const urls = [leader, ...followers].map(({ url }) => url).join('\n')
  const [first] = apps
  const held = gate()
  onTestFinished(held.remove)
  const restart = `if [ "$EVENKEEL_PORT" = ${new URL(first!.url).port} ]; then\n${held.command}\nfi\n${inputs['restart']}`
  const run = startAction({
    action,
    inputs: { ...inputs, 'consul-url': urls, restart },
    deadline: 120_000,
  })
  await run.waitForLog(/\| out: /)
  process.kill(leader.pid, 'SIGKILL')
  // Consul takes a dead server out of its catalog after some seconds, and the sessions that were made there with it.
  const nodes = async () => JSON.parse((await followers[0]!.call('GET', '/v1/catalog/nodes')).text) as unknown
  await expect.poll(nodes, { timeout: 60_000 }).toHaveLength(2)
  held.open()
  const result = await run.result
  const { failed, byReason } = await load.stop()
  expectSuccess(result)
  expect(result.log).toMatch(/taken anew/)
  expect(failed, JSON.stringify(byReason)).toBe(0)
  expect(apps.map(restartsOf), result.log).toEqual([1, 1])
  for (const app of apps) expect(await stored(app)).toBe(VALUE)
})
