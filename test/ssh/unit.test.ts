import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { takeLock } from '../../src/ssh/lock.ts'
import { Reconnecting } from '../../src/ssh/reconnecting.ts'
import { attachUnit, cancelUnit, runUnit } from '../../src/ssh/unit.ts'
import type { Phase, UnitPlan } from '../../src/ssh/unit-script.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { recordingContext } from './recording-context.ts'
import { credentialsFor, targetOf } from './sshd-login.ts'

let sshd: Sshd
let server: Reconnecting
let folder: string

const open = () => Reconnecting.open(targetOf(sshd), credentialsFor(sshd), recordingContext())

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'evenkeel-unit-'))
  writeFileSync(join(folder, 'fence'), '5\n')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

let units = 0
function plan(script: string, more: Partial<Phase> = {}, fence = 5): UnitPlan {
  const phase: Phase = { name: 'work', script, timeoutMs: 60_000, onCancel: 'end-all', ...more }
  return { name: `unit-${++units}`, folder, cwd: folder, fence, journal: '{"a":"it\'s"}', phases: [phase] }
}

async function run(script: string, more: Partial<Phase> = {}) {
  const lines: string[] = []
  const result = await runUnit(server, plan(script, more), (line) => lines.push(line), recordingContext())
  return { ...result, lines }
}

describe.each(['dash', 'bash'])('with %s as sh', (shell) => {
  beforeAll(async () => {
    const programs = mkdtempSync(join(tmpdir(), 'evenkeel-shell-'))
    symlinkSync(`/bin/${shell}`, join(programs, 'sh'))
    sshd = await startSshd({ path: [programs] })
    server = await open()
    return () => rmSync(programs, { recursive: true })
  })
  afterAll(async () => {
    server?.close()
    await sshd?.stop()
  })

  test('streams both outputs, and ends with the code of the first failing line', async () => {
    const result = await run('echo one\necho two >&2\nfalse\necho three')
    expect(result).toMatchObject({ outcome: 'failed', phase: 'work', code: 1, lines: ['one', 'two'] })
  })

  test('ends as after the signal that ended the command', async () => {
    expect(await run('kill -s KILL $$')).toMatchObject({ outcome: 'failed', code: 137 })
    expect(await run("sh -c 'kill -s TERM $$'")).toMatchObject({ outcome: 'failed', code: 143 })
  })

  test('a lot of output comes whole, the last line without its newline too', async () => {
    const result = await run(
      'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo "größe $i"; done; printf end',
    )
    expect(result.lines).toHaveLength(20_001)
    expect(result.lines[9_999]).toBe('größe 10000')
    expect(result.lines.at(-1)).toBe('end')
  })

  test('its standard input is empty, and it is apart from the connection', async () => {
    const result = await run('cat; ps -o sid= -p $$; ps -o sid= -p $PPID; tty || :')
    expect(result.outcome).toBe('ok')
    expect(result.lines.at(-1)).toBe('not a tty')
  })

  test('a supervisor that was killed is noticed, and the next start ends what it has left', async () => {
    const work = plan(
      'sleep 600 & echo $! >sleeping; setsid sleep 600 & echo $! >apart; echo under way; wait; touch went-on',
    )
    const alive = (file: string) => existsSync(`/proc/${readFileSync(join(folder, file), 'utf8').trim()}`)
    const lines: string[] = []
    const result = runUnit(server, work, (line) => lines.push(line), recordingContext())
    await until('it is under way', () => lines.length > 0)
    process.kill(Number(readFileSync(join(folder, 'units', work.name, 'pid'), 'utf8')), 'SIGKILL')
    expect(await result).toMatchObject({ outcome: 'lost', phase: 'work' })
    expect(alive('sleeping')).toBe(true)
    expect(await run('true')).toMatchObject({ outcome: 'ok' })
    expect(alive('sleeping')).toBe(false)
    expect(alive('apart')).toBe(false)
    expect(existsSync(join(folder, 'went-on'))).toBe(false)
  })

  test('two units cannot work in one place, and a lower fence than the last is refused', async () => {
    const lines: string[] = []
    const work = plan('echo under way; until test -f go; do sleep 0.05; done')
    const first = runUnit(server, work, (line) => lines.push(line), recordingContext())
    await until('it is under way', () => lines.length > 0)
    await expect(runUnit(server, plan('true'), () => {}, recordingContext())).rejects.toThrow(
      /other work goes on/,
    )
    writeFileSync(join(folder, 'go'), '')
    expect((await first).outcome).toBe('ok')
    const late = runUnit(server, plan('touch late', {}, 4), () => {}, recordingContext())
    await expect(late).rejects.toThrow(/a later run has taken over/)
    expect(existsSync(join(folder, 'late'))).toBe(false)
  })

  test('a cancel waits for work that must not be cut off, and the next phase does not begin', async () => {
    const context = recordingContext()
    const work = plan('echo under way; until test -f go; do sleep 0.05; done; touch finished', {
      onCancel: 'finish',
    })
    const next: Phase = { name: 'next', script: 'touch next', timeoutMs: 60_000, onCancel: 'end-all' }
    const lines: string[] = []
    const both = { ...work, phases: [...work.phases, next] }
    const result = runUnit(server, both, (line) => lines.push(line), context)
    await until('it is under way', () => lines.length > 0)
    await cancelUnit(server, both, ['next'])
    writeFileSync(join(folder, 'go'), '')
    expect(await result).toMatchObject({ outcome: 'cancelled', phase: 'next', code: 0 })
    expect(existsSync(join(folder, 'finished'))).toBe(true)
    expect(existsSync(join(folder, 'next'))).toBe(false)
    expect(await attachUnit(server, both, () => {}, context)).toMatchObject({ outcome: 'cancelled' })
  })

  test('the lock: one holder at a time, a higher fence for each, refused by name, freed with the connection', async () => {
    const context = recordingContext()
    const request = { folder, holder: 'https://ci/run/1 $(id)', waitMs: 0 }
    const other = await open()
    const first = await takeLock(other.connection, request, context)
    expect(first.fence).toBe(6)
    await expect(takeLock(server.connection, request, context)).rejects.toMatchObject({
      message: 'another deploy is at work there',
      details: { seen: expect.stringMatching(/^by https:\/\/ci\/run\/1 \$\(id\) for \d/) },
    })
    const waiting = takeLock(server.connection, { ...request, waitMs: 20_000 }, context)
    await until('it waits', () => context.lines.some((line) => line.includes('waiting for it')))
    other.close()
    const second = await waiting
    expect(second.fence).toBe(7)
    await until('the first one knows', () => first.lost)
    await second.release()
    await expect(takeLock(server.connection, { ...request, resume: 6 }, context)).rejects.toThrow(/later run/)
    const again = await takeLock(server.connection, { ...request, resume: 7 }, context)
    expect(again.fence).toBe(7)
    await again.release()
  })

  test('who gives up waiting for the lock leaves nobody waiting on the server', async () => {
    const holder = await takeLock(server.connection, { folder, holder: 'a', waitMs: 0 }, recordingContext())
    const context = recordingContext()
    const waiting = takeLock(server.connection, { folder, holder: 'b', waitMs: 600_000 }, context)
    await until('it waits', () => context.lines.some((line) => line.includes('waiting for it')))
    context.abort()
    await expect(waiting).rejects.toThrow()
    await holder.release()
    const next = await takeLock(
      server.connection,
      { folder, holder: 'c', waitMs: 10_000 },
      recordingContext(),
    )
    expect(next.fence).toBe(holder.fence + 1)
    await next.release()
  })
})
