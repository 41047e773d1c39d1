// Clients resolve each name through a caching resolver and connect anew, at more than 500 requests a second.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Load, LoadReport } from '../bed/load.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gate } from './command-gate.ts'
import { type LiveScene, startLiveScene } from './dns-live-scene.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

const API = `api.${ZONE}`
const WWW = `www.${ZONE}`

let scene: LiveScene
let wait: ReturnType<typeof gate>
let load: Load

/** Names with this TTL in seconds, in use. */
function sceneWith(ttl: number): void {
  beforeAll(async () => {
    scene = await startLiveScene(ttl)
  })
  beforeEach(async () => {
    wait = gate()
    await scene.reset()
    load = await scene.load()
  })
  afterEach(async () => {
    await load?.stop()
    wait.remove()
  })
  afterAll(() => scene?.stop())
}

/** Milliseconds after the load's start: what is sent from now on. */
const now = async () => (await load.report()).durationMs

/** Of what was sent after that moment: how many failed, and by which machines the others were served. */
function sentAfter({ series, bucketMs }: LoadReport, at: number) {
  const buckets = series.filter((bucket) => bucket.at >= at + bucketMs)
  const failed = buckets.reduce((sum, bucket) => sum + bucket.failed, 0)
  return { failed, machines: [...new Set(buckets.flatMap(({ nodes }) => Object.keys(nodes)))] }
}

const figures = (title: string, { sent, failed, durationMs, byNode, byReason }: LoadReport) =>
  console.log(
    `${title}: ${sent} requests, ${Math.round((sent * 1000) / durationMs)}/s, ${failed} failed`,
    byNode,
    byReason,
  )

describe('under load', () => {
  sceneWith(2)

  test('a flip in waves loses no request, and all of them come to the new machine', async () => {
    await load.more(500)
    expectSuccess(await scene.flip({ watch: '3s' }))
    const end = await now()
    await load.more(1_000)
    const report = await load.stop()
    figures('flip', report)
    expect(report.byReason).toEqual({})
    expect(report.failed).toBe(0)
    expect(report.byNode['old machine']).toBeGreaterThan(500)
    expect(sentAfter(report, end)).toEqual({ failed: 0, machines: ['new machine'] })
  })

  test('with the old machine stopped at the flip, before the TTL has run out, requests are lost', async () => {
    await load.more(100)
    const result = await scene.flip(
      { verify: wait.command, resolvers: '', 'on-failure': 'stop' },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          await scene.untilFresh(API)
          wait.open()
          await run.waitForLog(/^api\.example\.test A: 127\.0\.0\.1 -> 127\.0\.0\.2/m)
          await scene.old.stop()
        },
      },
    )
    expectSuccess(result)
    await load.more(500)
    const report = await load.stop()
    figures('control', report)
    expect(report.byReason['ECONNREFUSED']).toBeGreaterThan(0)
  })

  test('a new machine with the certificate of another name is refused before any write', async () => {
    await scene.fresh.become({ certificateFor: ['other.example.test'] })
    const before = await scene.dns.serial(ZONE)
    expectFailure(await scene.flip(), /altnames/, /copy it over, or issue by DNS-01/, /nothing was changed/)
    expect(await scene.dns.serial(ZONE)).toBe(before)
    const report = await load.stop()
    expect(report.byReason).toEqual({})
    expect(report.byNode['new machine']).toBeUndefined()
  })

  test('a new machine that breaks once the canary has been flipped gets no further name', async () => {
    const result = await scene.flip(
      { verify: wait.command },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          await scene.fresh.stop()
          wait.open()
        },
      },
    )
    expectFailure(result, /ECONNREFUSED/, /www\.example\.test A is back at the old value/)
    expect(result.log).not.toMatch(/^api\.example\.test A: 127/m)
    await scene.untilResolved(OLD)
    const back = await now()
    await load.more(500)
    const report = await load.stop()
    figures('canary reverted', report)
    expect(sentAfter(report, back)).toEqual({ failed: 0, machines: ['old machine'] })
  })
})

describe('a new machine that breaks while it is watched', () => {
  // Longer than three failures in a row take.
  sceneWith(5)

  test.each([
    ['answers 500', /status 500/, () => scene.fresh.become({ status: 500 })],
    ['is gone', /ECONNREFUSED/, () => scene.fresh.stop()],
  ])('it %s: the names are back within two TTLs', async (_, seen, breakIt) => {
    let ttls: Promise<number> | undefined
    const result = await scene.flip(
      { watch: '10m', resolvers: '' },
      {
        during: async (run) => {
          await run.waitForLog(/watching for 600 s/)
          await scene.untilResolved(NEW)
          await scene.untilFresh(WWW)
          await breakIt()
          ttls = scene.ttlsUntil(WWW, OLD)
        },
      },
    )
    expectFailure(result, /what was flipped went bad while it was watched/, seen)
    expectFailure(result, /every name server answers with the old values again/)
    await scene.untilResolved(OLD)
    const back = await now()
    await load.more(500)
    const report = await load.stop()
    figures('reverted', report)
    expect(report.failed).toBeGreaterThan(0)
    expect(sentAfter(report, back)).toEqual({ failed: 0, machines: ['old machine'] })
    // It broke at the start of a TTL: at most one more began with its address.
    expect(await ttls).toBeLessThanOrEqual(1)
  })
})
