// Units of a user who lingers: services of that user's own systemd, which really runs here.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Reconnecting } from '../../src/ssh/reconnecting.ts'
import { cancelUnit, runUnit } from '../../src/ssh/unit.ts'
import type { Phase, UnitPlan } from '../../src/ssh/unit-script.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { recordingContext } from './recording-context.ts'
import { credentialsFor, targetOf } from './sshd-login.ts'

let sshd: Sshd
let server: Reconnecting
let folder: string
let scene: string

beforeAll(async () => {
  scene = mkdtempSync(join(tmpdir(), 'evenkeel-systemd-'))
  const script = join(import.meta.dirname, '../bed/user-systemd.sh')
  sshd = await startSshd({
    by: ['unshare', '--mount', '--propagation', 'private', 'sh', script, scene],
    env: { FROM_THE_SESSION: "it's here" },
  })
  server = await Reconnecting.open(targetOf(sshd), credentialsFor(sshd), recordingContext())
})
afterAll(async () => {
  server?.close()
  await sshd?.stop()
  // The groups that systemd has made, the inner ones first.
  const remove = 'find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} \\; 2>/dev/null || :'
  execFileSync('sh', ['-c', remove, 'sh', basename(scene)])
  rmSync(scene, { recursive: true, force: true })
})
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'evenkeel-unit-'))
  writeFileSync(join(folder, 'fence'), '5\n')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

let units = 0
function plan(script: string, more: Partial<Phase> = {}): UnitPlan {
  const phase: Phase = { name: 'work', script, timeoutMs: 60_000, onCancel: 'end-all', ...more }
  const name = `service-${process.pid}-${++units}`
  return { name, folder, cwd: folder, fence: 5, journal: '{}', phases: [phase] }
}
const isAlive = (file: string) => existsSync(`/proc/${readFileSync(join(folder, file), 'utf8').trim()}`)

async function run(unit: UnitPlan, during?: (lines: readonly string[]) => Promise<unknown>) {
  const lines: string[] = []
  const work = runUnit(server, unit, (line) => lines.push(line), recordingContext())
  await during?.(lines)
  return { ...(await work), lines }
}

test('run as a service, with what a session has; what they start in the background outlives them', async () => {
  const unit = plan(
    'cat /proc/self/cgroup; pwd -P; echo "$FROM_THE_SESSION"; echo "$PATH"; umask; sleep 600 & echo $! >pid; echo over; exit 3',
  )
  const result = await run(unit)
  expect(result).toMatchObject({ outcome: 'failed', code: 3 })
  expect(result.lines.join('\n')).toContain(`evenkeel-${unit.name}.service`)
  const { stdout } = await server.connection.exec('echo "$PATH"; umask')
  const [path = '', umask = ''] = stdout.split('\n')
  expect(result.lines).toEqual(expect.arrayContaining([folder, "it's here", path, umask, 'over']))
  expect(isAlive('pid')).toBe(true)
  process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')))
})

test('a secret of theirs is in no argument, no property and no file', async () => {
  const secret = `s3cret-${'x'.repeat(20)}`
  const unit = plan('printf %s "$SECRET" | wc -c; echo under way; until test -f go; do sleep 0.05; done', {
    env: { SECRET: secret },
  })
  const result = await run(unit, async (lines) => {
    await until('it is under way', () => lines.includes('under way'))
    const shown = await server.connection.exec(
      `XDG_RUNTIME_DIR=/run/user/0 systemctl --user show evenkeel-${unit.name}.service; cat /proc/[0-9]*/cmdline; grep -r . ${folder}`,
    )
    expect(shown.stdout).toContain('KillMode=process')
    expect(shown.stdout).not.toContain(secret)
    writeFileSync(join(folder, 'go'), '')
  })
  expect(result).toMatchObject({ outcome: 'ok', lines: [String(secret.length), 'under way'] })
})

test('hold the lock on the work, and a cancel ends them with their children', async () => {
  const unit = plan('sleep 600 & echo $! >pid; setsid sleep 600 & echo $! >apart; echo under way; wait')
  const result = await run(unit, async (lines) => {
    await until('it is under way', () => lines.length > 0)
    await expect(run(plan('true'))).rejects.toThrow(/other work goes on/)
    await cancelUnit(server, unit, ['work'])
  })
  expect(result.outcome).toBe('cancelled')
  expect([isAlive('pid'), isAlive('apart')]).toEqual([false, false])
  expect(await run(plan('true'))).toMatchObject({ outcome: 'ok' })
})

test('go on when the whole session is ended', async () => {
  const unit = plan('echo under way; until test -f go; do sleep 0.05; done; echo over')
  const result = await run(unit, async (lines) => {
    await until('it is under way', () => lines.length > 0)
    // As logind does: all processes of the session.
    for (const pid of sessionProcesses()) process.kill(pid, 'SIGKILL')
    writeFileSync(join(folder, 'go'), '')
  })
  expect(result).toMatchObject({ outcome: 'ok', lines: ['under way', 'over'] })
})

/** What descends from the sshd under test, but for the user's systemd and its services. */
function sessionProcesses(): number[] {
  const table = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /^ *(\d+) +(\d+) (.*)$/.exec(line))
    .flatMap((found) =>
      found ? [{ pid: Number(found[1]), parent: Number(found[2]), args: found[3] ?? '' }] : [],
    )
  const below = (pid: number): number[] =>
    table
      .filter(({ parent, args }) => parent === pid && !args.includes('systemd --user'))
      .flatMap((one) => [one.pid, ...below(one.pid)])
  return below(sshd.pid)
}
