import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ActionOptions, type ActionRun, runAction } from './action-run.ts'
import { runnerTimings, tracked } from './step-process.ts'

const fixture = (name: string): string => join(import.meta.dirname, 'fixtures', name)
const quick = { interrupt: 400, terminate: 300, output: 500 }

function script(text: string, more: Partial<Parameters<typeof runAction>[0]> = {}) {
  return runAction({ action: fixture('script'), inputs: { script: text }, timings: quick, ...more })
}

function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

describe('cancel and loss', { timeout: 60_000 }, () => {
  const phases = (more: Partial<ActionOptions> & { during: (run: ActionRun) => unknown }) =>
    runAction({ action: fixture('phases'), timings: quick, ...more })

  test('exec: SIGINT reaches Node, the settle step runs, the others do not', async () => {
    const result = await phases({
      during: async (run) => {
        await run.waitForLog(/^main runs on/)
        void run.cancel()
      },
    })
    expect(result.conclusion).toBe('cancelled')
    expect(result.rawLog).toContain('main got SIGINT')
    expect(result.steps.map((step) => [step.id, step.conclusion, step.sent])).toEqual([
      ['main', 'cancelled', ['SIGINT']],
      ['unless-cancelled', 'skipped', []],
      ['settle', 'success', []],
    ])
    expect(result.steps[0]!.exitCode).toBe(0)
    expect(result.outputs).toEqual({ state: 'begun', settled: 'yes' })
    expect(result.log).toContain('##[error]The operation was canceled.')
  })

  test('without exec: the shell gets the signals, Node runs on unaware until the end of the job', async () => {
    let pid = 0
    const result = await phases({
      inputs: { command: 'node' },
      during: async (run) => {
        pid = Number((await run.waitForLog(/^main runs on .* as (\d+)/))[1])
        void run.cancel()
      },
    })
    expect(result.conclusion).toBe('cancelled')
    expect(result.rawLog).not.toContain('main got')
    expect(result.rawLog).toContain('settle begins')
    expect(alive(pid)).toBe(false)
  })

  test('a step that stays gets SIGINT, SIGTERM, and is killed with all below it', async () => {
    const result = await phases({
      inputs: { stubborn: 'true' },
      during: async (run) => {
        await run.waitForLog(/^main runs on/)
        void run.cancel()
      },
    })
    expect(result.rawLog).toContain('main got SIGINT\nmain got SIGTERM')
    expect(result.steps[0]).toMatchObject({
      conclusion: 'cancelled',
      signal: 'SIGKILL',
      sent: ['SIGINT', 'SIGTERM', 'SIGKILL'],
    })
    expect(result.outputs['settled']).toBe('yes')
  })

  test("the runner's pauses are the default", () => {
    expect(runnerTimings).toMatchObject({ interrupt: 7_500, terminate: 2_500 })
  })

  test('a cancel during an always() step does not signal it', async () => {
    const result = await phases({
      inputs: { command: 'true' },
      during: async (run) => {
        await run.waitForLog(/^settle begins/)
        void run.cancel()
      },
    })
    expect(result.conclusion).toBe('cancelled')
    expect(result.rawLog).not.toContain('settle got')
    expect(result.outputs['settled']).toBe('yes')
  })

  test('kill -9 fails the step, its files count, and the settle step runs', async () => {
    const result = await phases({
      during: async (run) => {
        await run.waitForLog(/^main runs on/)
        run.kill9()
      },
    })
    expect(result.conclusion).toBe('failure')
    expect(result.steps[0]).toMatchObject({ conclusion: 'failure', signal: 'SIGKILL', exitCode: null })
    expect(result.log).toContain('##[error]Process completed with exit code 137.')
    expect(result.rawLog).toContain('settle begins, state is begun')
  })

  test('a lost runner takes all processes with it and runs nothing more', async () => {
    let pid = 0
    const result = await phases({
      inputs: { command: 'node' },
      during: async (run) => {
        pid = Number((await run.waitForLog(/^main runs on .* as (\d+)/))[1])
        void run.lostRunner()
      },
    })
    expect(result.conclusion).toBe('failure')
    expect(result.steps).toEqual([])
    expect(result.rawLog).not.toContain('settle begins')
    expect(alive(pid)).toBe(false)
  })
})

describe('nothing is left behind', { timeout: 30_000 }, () => {
  test('background processes are ended and named, folders removed', async () => {
    let folder = ''
    const result = await script('sleep 4321 >/dev/null 2>&1 & setsid sleep 4322 >/dev/null 2>&1 & env', {
      during: (run) => {
        folder = run.temp
      },
    })
    expect(result.orphans.sort()).toEqual(['sleep 4321', 'sleep 4322'])
    expect(existsSync(folder)).toBe(false)
    expect(readdirSync(tmpdir()).filter((name) => folder.includes(`/${name}/`))).toEqual([])
    const trackingId = /^RUNNER_TRACKING_ID=(.*)$/m.exec(result.rawLog)![1]!
    expect(tracked(trackingId)).toEqual([])
  })

  test('output held open by a background process does not hold up the step', async () => {
    const result = await script('sleep 4323 & echo done')
    expect(result.conclusion).toBe('success')
    expect(result.orphans).toEqual(['sleep 4323'])
  })

  test('a hung action fails with its log', async () => {
    await expect(script('echo so far; sleep 4324', { deadline: 1_000 })).rejects.toThrow(
      /had not ended after 1000 ms:[\s\S]*\nso far/,
    )
  })

  test('waiting for a line that never comes fails with the log', async () => {
    const waiting = script('echo the only line', { during: (run) => run.waitForLog(/never/) })
    await expect(waiting).rejects.toThrow(
      /The run ended before the log showed \/never\/:[\s\S]*the only line/,
    )
  })
})
