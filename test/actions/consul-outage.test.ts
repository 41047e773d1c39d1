// Connections that are cut and servers that die while a rollout is under way: it goes on.
import process from 'node:process'
import { expect, onTestFinished, test } from 'vitest'
import type { App } from '../bed/app.ts'
import { startConsulCluster } from '../bed/consul.ts'
import { startLoad } from '../bed/load.ts'
import { childrenOf, until } from '../bed/process.ts'
import { startSshd } from '../bed/sshd.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gate } from './command-gate.ts'
import { bedForTest, VALUE } from './consul-bed.ts'

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

test('the servers that Consul, the load balancer and the health are seen from are cut off twice: the rollout goes on', {
  timeout: 150_000,
}, async () => {
  const { apps, inputs, sshd, stored, upsync } = await bedForTest({ nodes: 2 })
  const outlook = await startSshd()
  onTestFinished(() => outlook.stop())
  const from = `${outlook.user}@${outlook.host}:${outlook.port}`
  outlook.addClientKey(sshd.clientKey.publicKey)
  const load = await startLoad({ url: upsync.url, rate: 500 })
  const run = startAction({
    action,
    inputs: {
      ...inputs,
      ...{ 'consul-from': from, 'lb-from': from, 'health-from': from },
      'known-hosts': `${inputs['known-hosts']}${outlook.knownHostsLines}`,
    },
    deadline: 120_000,
  })
  for (const line of [/1\/2 .*drained in Consul/, /2\/2 .*back in Consul/]) {
    await run.waitForLog(line, 60_000)
    for (const pid of childrenOf(outlook.pid)) process.kill(pid, 'SIGKILL')
  }
  const result = await run.result
  const { failed, byReason } = await load.stop()
  expectSuccess(result)
  expect(result.log).toContain(`the connection to ${from} broke: connecting again`)
  expect(failed, JSON.stringify(byReason)).toBe(0)
  expect(apps.map(restartsOf), result.log).toEqual([1, 1])
  for (const app of apps) expect(await stored(app)).toBe(VALUE)
})

test.each([
  ['while a drain is proven', /drained in Consul/, [0, 0]],
  ['while a node is restarted', /\| begun/, [1, 0]],
])(
  'the quorum is lost %s: nothing more is started, and the run after it ends well',
  {
    timeout: 240_000,
  },
  async (_, line, restarted) => {
    const cluster = await startConsulCluster()
    onTestFinished(() => cluster.stop())
    const [stays, ...others] = cluster.servers as [(typeof cluster.servers)[0]]
    const { apps, inputs, stored, upsync } = await bedForTest({ nodes: 2, consul: stays })
    const load = await startLoad({ url: upsync.url, rate: 500, durationMs: 230_000 })
    const steady = {
      ...inputs,
      'lease-ttl': '10s',
      'consul-url': cluster.servers.map(({ url }) => url).join('\n'),
    }
    // Long enough for the lease to be lost meanwhile.
    const restart = `echo begun\nsleep 12\n${inputs['restart']}`
    const run = startAction({ action, inputs: { ...steady, restart }, deadline: 150_000 })
    await run.waitForLog(line)
    for (const { pid } of others) process.kill(pid, 'SIGSTOP')
    // The settle step cannot do its work either.
    const broken = await run.result
    expectFailure(broken, /lease of this upstream was lost/)
    for (const { pid } of others) process.kill(pid, 'SIGCONT')
    expect(apps.map(restartsOf), broken.log).toEqual(restarted)
    expect(await stored(apps[1]!)).toBe(VALUE)
    await until(
      'the cluster writes again',
      async () => {
        await stays.put('test', 'again')
        return true
      },
      60_000,
    )
    const again = await runAction({ action, inputs: { ...steady, 'lock-wait': '1m' }, deadline: 150_000 })
    const { failed, byReason } = await load.stop()
    expectSuccess(again)
    expect(failed, JSON.stringify(byReason)).toBe(0)
    expect(apps.map(restartsOf), again.log).toEqual([1, 1])
    for (const app of apps) expect(await stored(app)).toBe(VALUE)
  },
)
