// Clients resolve each name through a caching resolver and connect anew, at more than 500 requests a second.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Load, LoadReport } from '../bed/load.ts'
import { until } from '../bed/process.ts'
import type { ActionRun } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type LiveScene, NAMES, startLiveScene } from './dns-live-scene.ts'
import { gate, NEW, OLD, ZONE } from './dns-scene.ts'

const TTL = 2
let scene: LiveScene
let wait: ReturnType<typeof gate>
let load: Load
beforeAll(async () => {
  scene = await startLiveScene(TTL)
})
beforeEach(async () => {
  wait = gate()
  await scene.reset()
  await until('the resolver follows', async () => {
    const all = await Promise.all(NAMES.map((name) => scene.resolved(name)))
    return all.every(({ address }) => address === OLD)
  })
  load = await scene.load()
})
afterEach(async () => {
  await load?.stop()
  wait.remove()
})
afterAll(() => scene?.stop())

const figures = (title: string, { sent, failed, durationMs, byNode, byReason }: LoadReport) =>
  console.log(
    `${title}: ${sent} requests, ${Math.round((sent * 1000) / durationMs)}/s, ${failed} failed`,
    byNode,
    byReason,
  )

test('a flip in waves loses no request, and all of them come to the new machine', async () => {
  await load.more(500)
  expectSuccess(await scene.flip({ watch: '3s' }))
  // Those that were resolved before the resolver's last change may still be on their way.
  await load.more(100)
  const atEnd = await load.report()
  await load.more(1_000)
  const report = await load.stop()
  figures('flip', report)
  expect(report.byReason).toEqual({})
  expect(report.failed).toBe(0)
  expect(report.byNode['old machine']).toBe(atEnd.byNode['old machine'])
  expect(report.byNode['new machine']).toBeGreaterThan(1_000)
})
