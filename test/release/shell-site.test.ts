import { mkdtempSync, rmSync, statSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Clock, cancelled, systemClock } from '../../src/context.ts'
import { ShellSite } from '../../src/release/shell-site.ts'
import { connect } from '../../src/ssh/connect.ts'
import { type GatedSshd, startGatedSshd } from '../actions/static-gates.ts'
import { until } from '../bed/process.ts'
import { recordingContext } from '../ssh/recording-context.ts'
import { credentialsFor, targetOf } from '../ssh/sshd-login.ts'

let gated: GatedSshd

beforeAll(async () => {
  gated = await startGatedSshd()
})
afterAll(() => gated?.stop())

const BEAT_MS = 20_000

/** Whoever sleeps by it does so until woken. */
class HeldClock implements Clock {
  readonly now = systemClock.now
  readonly monotonic = systemClock.monotonic
  readonly #sleeping = new Map<number, () => void>()

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#sleeping.set(ms, resolve)
      signal.addEventListener('abort', () => reject(cancelled(signal)))
    })
  }

  asleep(ms: number): Promise<void> {
    return until(`somebody sleeps for ${ms} ms`, () => this.#sleeping.has(ms))
  }

  /** Resolves once the same sleeps again: what it did in between is done. */
  async round(ms: number): Promise<void> {
    await this.asleep(ms)
    const wake = this.#sleeping.get(ms)
    this.#sleeping.delete(ms)
    wake?.()
    await this.asleep(ms)
  }
}

async function open(target: string, token: string) {
  const clock = new HeldClock()
  const recorded = recordingContext()
  const context = { ...recorded, clock }
  const connection = await connect(targetOf(gated.sshd), credentialsFor(gated.sshd), recorded)
  const settings = { mode: 'atomic', target, holder: token, token, dryRun: false, needsShell: [] } as const
  const site = await ShellSite.open(connection, settings, context)
  onTestFinished(() => site.close())
  return { site, clock, context }
}

test('the lock has signs of life while its holder begins, and from nobody else', async () => {
  const target = mkdtempSync(join(tmpdir(), 'evenkeel-site-'))
  onTestFinished(() => rmSync(target, { recursive: true, force: true }))
  const beat = join(target, 'releases/.evenkeel/beat')
  const age = () => {
    const past = Date.now() / 1000 - 100
    utimesSync(beat, past, past)
    return statSync(beat).mtimeMs
  }
  const holder = await open(target, 'one')
  gated.close('claim')
  onTestFinished(() => gated.open('claim'))
  const begun = holder.site.begin({ release: 'new', lockWaitMs: 0 }, holder.context)
  await gated.reached('claim')

  const waiting = await open(target, 'other')
  const refused = waiting.site.begin({ lockWaitMs: 60_000 }, waiting.context)
  refused.catch(() => {})
  await until('it waits', () => waiting.context.lines.some((line) => line.includes('held by one')))
  const aged = age()
  await waiting.clock.round(BEAT_MS)
  expect(statSync(beat).mtimeMs).toBe(aged)
  await holder.clock.round(BEAT_MS)
  expect(statSync(beat).mtimeMs).toBeGreaterThan(aged)

  waiting.context.abort()
  await expect(refused).rejects.toThrow('cancelled')
  gated.open('claim')
  await begun
})
