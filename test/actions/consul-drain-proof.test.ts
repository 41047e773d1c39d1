// What a drain's proof rests on: the node's own socket table beside the load balancers' pages, and what is said where
// one of them cannot be had.
import { expect, test } from 'vitest'
import { startLoad } from '../bed/load.ts'
import { runAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { bedForTest, VALUE } from './consul-bed.ts'

const action = 'consul-restart'

test.concurrent('requests that outlast `drain-timeout` are counted and told', {
  timeout: 90_000,
}, async ({ onTestFinished }) => {
  const { apps, upsync, inputs } = await bedForTest({}, onTestFinished)
  const load = await startLoad({ url: upsync.url, rate: 50 })
  onTestFinished(() => void load.stop())
  const slow = Array.from({ length: 12 }, () => fetch(`${upsync.url}/slow?ms=12000`).catch(() => undefined))
  const nodes = inputs['nodes']!.split('\n')[0]!
  const result = await runAction({
    action,
    inputs: { ...inputs, nodes, 'drain-timeout': '1s', 'health-from': 'runner' },
  })
  expectSuccess(result)
  const left = /(\d+) requests are still at work after 1\.0 s/.exec(result.log)?.[1]
  expect(Number(left)).toBeGreaterThan(0)
  const [node] = JSON.parse(result.outputs['report']!).nodes
  expect(node).toMatchObject({ address: apps[0]!.address, outcome: 'updated', inFlightLeft: Number(left) })
  expect(result.summary).toContain(`${left} requests outlasted drain-timeout`)
  await Promise.all(slow)
})

test.concurrent('a node that still gets requests is not restarted, whatever the pages say', {
  timeout: 90_000,
}, async ({ onTestFinished }) => {
  const { apps, upsync, inputs, stored } = await bedForTest({ nodes: 2 }, onTestFinished)
  const pids = apps.map((app) => app.pid())
  // As from a load balancer that its page does not show: from the same address, past the pages.
  const loads = await Promise.all(
    [upsync.url, `${apps[0]!.url}/slow?ms=300`].map((url) => startLoad({ url, rate: 50 })),
  )
  onTestFinished(() => Promise.all(loads.map((load) => load.stop())).then(() => {}))
  const result = await runAction({ action, inputs, deadline: 80_000 })
  expectFailure(
    result,
    new RegExp(`it is not proven that ${apps[0]!.address} is out`),
    new RegExp(`${apps[0]!.address} still gets requests, \\d+ just now, from 127\\.0\\.0\\.1`),
  )
  expect(apps.map((app) => app.pid())).toEqual(pids)
  for (const app of apps) expect(await stored(app)).toBe(VALUE)
})

test.concurrent('without `lb-status` the drain is waited for, and log, summary and report call it unverified', {
  timeout: 90_000,
}, async ({ onTestFinished }) => {
  const { upsync, inputs } = await bedForTest({}, onTestFinished)
  const load = await startLoad({ url: upsync.url, rate: 100 })
  const result = await runAction({
    action,
    inputs: { ...inputs, 'lb-status': '', 'drain-timeout': '2s' },
    deadline: 80_000,
  })
  const { failed } = await load.stop()
  expectSuccess(result)
  expect(failed).toBe(0)
  expect(result.log).toMatch(/the drain is unverified \(no `lb-status`\): waiting 2\.5 s/)
  expect(result.summary).toContain('drain unverified')
  for (const node of JSON.parse(result.outputs['report']!).nodes) {
    expect(node).toMatchObject({ outcome: 'updated', drainVerified: false })
  }
})
