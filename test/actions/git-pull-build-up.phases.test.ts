// Ended in each phase, by kill -9 of the bundle or by a cancel, and run again: phases that a build cannot tell of.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../bed/process.ts'
import { type ActionRun, runAction, startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gitScene } from './git-scene.ts'

const gates = mkdtempSync(join(tmpdir(), 'evenkeel-gates-'))
const scene = gitScene({ path: [join(gates, 'bin')] })
const { options, deploy } = scene
let good: string

beforeAll(() => {
  mkdirSync(join(gates, 'bin'))
  // Stands before git and flock on the server: the first call that matches a closed gate waits until it is opened.
  for (const program of ['git', 'flock']) {
    const real = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim()
    writeFileSync(
      join(gates, 'bin', program),
      `#!/bin/sh
for word in "$@"; do
  gate="${gates}/${program} $word"
  if mv "$gate" "$gate reached" 2>/dev/null; then
    until [ -e "${gates}/open" ]; do sleep 0.02; done
    break
  fi
done
exec ${real} "$@"
`,
    )
    chmodSync(join(gates, 'bin', program), 0o755)
  }
})
afterAll(() => rmSync(gates, { recursive: true, force: true }))
beforeEach(async () => {
  good = scene.project.commit('1')
  expectSuccess(await deploy())
})
afterEach(() => {
  openGates()
  for (const file of readdirSync(gates)) if (file !== 'bin') rmSync(join(gates, file))
})

const closeGate = (name: string) => writeFileSync(join(gates, name), '')
const reached = (name: string) =>
  until(`${name} is reached`, () => existsSync(join(gates, `${name} reached`)), 30_000)
const inUnit = (file: string) => {
  const { unit } = JSON.parse(scene.project.read('.git/evenkeel/current.json')) as { unit: string }
  return join(scene.project.path, '.git/evenkeel/units', unit, file)
}
const isFree = (path: string) =>
  spawnSync('flock', ['-n', join(path, '.git/evenkeel/deploy.lock'), 'true']).status === 0
const openGates = () => writeFileSync(join(gates, 'open'), '')

const endings: [string, (run: ActionRun) => unknown][] = [
  ['kill -9', (run) => run.kill9()],
  ['a cancel', (run) => void run.cancel()],
]

describe.each(endings)('%s', (_what, end) => {
  test('while it connects leaves everything as it was', async () => {
    const sockets: Socket[] = []
    const silent = createServer((socket) => sockets.push(socket))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as AddressInfo
    scene.project.commit('2')
    const run = startAction(options({ host: `${scene.sshd.user}@${scene.sshd.host}:${port}` }))
    await until('it connects', () => sockets.length > 0, 30_000)
    await end(run)
    expect((await run.result).conclusion).not.toBe('success')
    for (const socket of sockets) socket.destroy()
    silent.close()
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    expect(scene.project.history()).toHaveLength(1)
  })

  test.each([
    ['the first look', 'git status'],
    ['the lock', 'flock 8'],
    ['the fetch', 'git fetch'],
    ['the checkout', 'git checkout'],
  ])('in %s: what was up runs on, and the next run deploys', async (_phase, gate) => {
    scene.project.commit('2')
    closeGate(gate)
    const run = startAction(options())
    await reached(gate)
    await end(run)
    // What has begun is asked to end before its next part, by the step itself or by the settle step.
    if (gate === 'git checkout') await until('it is asked to end', () => existsSync(inUnit('cancel')))
    // With the lock the right to begin is gone.
    if (gate === 'git fetch') await until('its lock is free', () => isFree(scene.project.path))
    openGates()
    const result = await run.result
    expect(result.conclusion).not.toBe('success')
    expect(result.orphans).toEqual([])
    expect(scene.project.read('running')).toBe('1\n')
    const third = scene.project.commit('3')
    const again = await deploy({ 'lock-wait': '20s' })
    expectSuccess(again)
    expect(again.outputs).toMatchObject({ sha: third, 'previous-sha': good })
    expect(scene.project.read('running')).toBe('3\n')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
    expect(
      scene.project
        .history()
        .some(({ runs, result: how }) => how === 'ok' && runs !== good && runs !== third),
    ).toBe(false)
  })
})

test('a branch that moves after it was looked up does not matter', async () => {
  const second = scene.project.commit('2')
  closeGate('git fetch')
  const run = startAction(options())
  await reached('git fetch')
  scene.project.commit('3')
  openGates()
  const result = await run.result
  expectSuccess(result)
  expect(result.outputs['sha']).toBe(second)
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(second)
  expect(scene.project.read('running')).toBe('2\n')
})

test('kill -9 of the settle step, too: the next run puts it right', async () => {
  scene.project.commit('2', { up: ['cp built running', 'echo under way; sleep 600'] })
  const run = startAction(options())
  await run.waitForLog(/\| under way/)
  closeGate('git checkout')
  run.kill9()
  // On its way back.
  await reached('git checkout')
  run.kill9()
  openGates()
  await run.result
  const third = scene.project.commit('3')
  const again = await deploy({ 'lock-wait': '20s' })
  expectSuccess(again)
  expect(again.log).toMatch(/was cut off/)
  expect(scene.project.read('running')).toBe('3\n')
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
})

describe('kill -9 of the supervisor on the server', () => {
  test.each([
    ['build', 'rolled back'],
    ['up', 'rolled back'],
  ])('in %s is told, and the deploy goes back', async (phase) => {
    scene.project.commit('2', { [phase]: ['cp version built', 'echo under way; sleep 600'] })
    const result = await runAction({
      ...options(),
      during: async (run) => {
        await run.waitForLog(/\| under way/)
        process.kill(Number(readFileSync(inUnit('pid'), 'utf8')), 'SIGKILL')
      },
    })
    expectFailure(result, `\`${phase}\` ended without a result`, `back at ${good.slice(0, 7)}`)
    expect(scene.project.read('running')).toBe('1\n')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
  })

  test('and of its git in a checkout: the lock file that is left does not block the next deploy', async () => {
    scene.project.commit('2')
    closeGate('git checkout')
    const run = startAction(options())
    await reached('git checkout')
    const supervisor = Number(readFileSync(inUnit('pid'), 'utf8'))
    const group = Number.parseInt(readFileSync(inUnit('group'), 'utf8'), 10)
    process.kill(supervisor, 'SIGKILL')
    process.kill(-group, 'SIGKILL')
    writeFileSync(join(scene.project.path, '.git/index.lock'), 'half an index')
    openGates()
    const result = await run.result
    expectFailure(result, /`checkout` ended without a result/, `${good.slice(0, 7)} runs on as before`)
    const third = scene.project.commit('3')
    const again = await deploy()
    expectSuccess(again)
    expect(again.log).toContain('removed .git/index.lock, left by a git that did not come to its end')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
  })
})

test('a lock file of a git that is alive stays', async () => {
  scene.project.commit('2')
  // A person who writes the message of a commit.
  const editor = `touch ${gates}/edits; until test -e ${gates}/open; do sleep 0.02; done; false`
  const person = spawn('git', ['commit', '--allow-empty'], {
    cwd: scene.project.path,
    env: { ...process.env, GIT_EDITOR: `sh -c '${editor}'`, GIT_AUTHOR_NAME: 'Bo', GIT_AUTHOR_EMAIL: 'b@c' },
    stdio: 'ignore',
  })
  await until('the editor is open', () => existsSync(join(gates, 'edits')))
  const lock = join(scene.project.path, '.git/index.lock')
  writeFileSync(lock, 'theirs')
  expectFailure(await deploy(), /`checkout` failed/, /index\.lock/, `${good.slice(0, 7)} runs on as before`)
  expect(readFileSync(lock, 'utf8')).toBe('theirs')
  openGates()
  await new Promise((resolve) => person.once('exit', resolve))
  expectSuccess(await deploy())
})
