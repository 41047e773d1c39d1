// A full disk: the checkout lies on a small file system of its own.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gitScene } from './git-scene.ts'

const scene = gitScene()
const { deploy } = scene

const mounted: string[] = []
function mount(size: string, folder = dirname(scene.project.path)): void {
  mkdirSync(folder, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', folder])
  mounted.push(folder)
}
afterEach(() => {
  for (const folder of mounted.splice(0).reverse()) execFileSync('umount', [folder])
})

const FILL = 'dd if=/dev/zero of=fill bs=4k 2>/dev/null'
const free = (path = scene.project.path) => rmSync(join(path, 'fill'))
const enlarge = () => execFileSync('mount', ['-o', 'remount,size=400m', dirname(scene.project.path)])

/** The disk is full as soon as a ref is set, which is right before the work starts. */
function fillBeforeTheStart(path: string): string {
  const hook = join(path, '.git/hooks/reference-transaction')
  mkdirSync(dirname(hook), { recursive: true })
  writeFileSync(hook, `#!/bin/sh\n[ "$1" != committed ] || ${FILL} || :\n`, { mode: 0o755 })
  return hook
}

/** A commit with a new file of 70 MB that nobody can compress. */
function commitLarge(version: string): string {
  for (const folder of [scene.project.work, scene.project.origin])
    execFileSync('git', ['-C', folder, 'config', 'core.compression', '0'])
  writeFileSync(join(scene.project.work, 'a large one.bin'), randomBytes(70_000_000))
  return scene.project.commit(version)
}

test('is refused before anything is changed', async () => {
  mount('32m')
  scene.project.commit('1')
  expectFailure(await deploy(), /the disk is full/, /nothing was changed on any host/)
})

describe.each(['pull', 'push'])('transport: %s', (transport) => {
  const bring = () => deploy({ transport }, { workspace: scene.project.work })

  test('a disk that the commits fill keeps what it had, and none of the half pack', async () => {
    mount('66m')
    const good = scene.project.commit('1')
    expectSuccess(await bring())
    scene.project.remote('config', 'fetch.unpackLimit', '1')
    const large = commitLarge('2')
    expectFailure(
      await bring(),
      /127\.0\.0\.1:\d+: the commit(s could not be stored on the server| could not be fetched)/,
      /No space left on device/,
      /the checkout and what runs are as they were/,
      /free (disk|some) space/,
    )
    expect(scene.project.read('running')).toBe('1\n')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    expect(scene.project.remote('count-objects', '-v')).toContain('garbage: 0')
    expect(scene.project.history().map(({ result }) => result)).toEqual(['ok'])
    enlarge()
    expectSuccess(await bring())
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(large)
    expect(scene.project.remote('fsck', '--connectivity-only')).toBe('')
  })
})

test('that the checkout fills: half-written files are not in the way of the next one', async () => {
  mount('100m')
  const good = scene.project.commit('1', {}, { tracked: 'x' })
  expectSuccess(await deploy())
  scene.project.remote('config', 'fetch.unpackLimit', '1')
  writeFileSync(join(scene.project.path, '.env'), 'mine')
  writeFileSync(join(scene.project.path, 'tracked'), 'by hand')
  const large = commitLarge('2')
  expectFailure(
    await deploy(),
    /127\.0\.0\.1:\d+: `checkout` failed/,
    /unable to write file 'a large one.bin'|unable to write file a large one.bin/,
    `the checkout could not be changed: ${good.slice(0, 7)} runs on as before`,
  )
  expect(scene.project.read('running')).toBe('1\n')
  expect(scene.project.remote('status', '--short')).toBe('M tracked\n?? .env\n?? built\n?? running')
  expect(scene.project.read('tracked')).toBe('by hand')
  enlarge()
  expectSuccess(await deploy())
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(large)
  expect(scene.project.read('.env')).toBe('mine')
})

test('a folder of the checkout that cannot be written fails the deploy, though git itself does not', async () => {
  const good = scene.project.commit('1', {}, { 'data/kept': 'x' })
  expectSuccess(await deploy())
  const folder = join(scene.project.path, 'data')
  execFileSync('mount', ['--bind', folder, folder])
  mounted.push(folder)
  execFileSync('mount', ['-o', 'remount,ro,bind', folder])
  const next = scene.project.commit('2', {}, { 'data/new': 'x', new: 'y' })
  expectFailure(
    await deploy(),
    /unable to create file data\/new: Read-only file system/,
    `${good.slice(0, 7)} runs on as before`,
  )
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
  expect(scene.project.read('running')).toBe('1\n')
  execFileSync('mount', ['-o', 'remount,rw,bind', folder])
  expectSuccess(await deploy())
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(next)
  expect(scene.project.remote('status', '--short', '--untracked-files=no')).toBe('')
})

test('that is full when the work is to start', async () => {
  mount('100m')
  scene.project.commit('1')
  expectSuccess(await deploy())
  const hook = fillBeforeTheStart(scene.project.path)
  const second = scene.project.commit('2')
  expectFailure(
    await deploy(),
    /127\.0\.0\.1:\d+: the work could not be started on the server/,
    /I\/O error|No space left/,
    /nothing was started there/,
    /check free disk space/,
  )
  expect(scene.project.read('running')).toBe('1\n')
  rmSync(hook)
  free()
  expectSuccess(await deploy())
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(second)
})

test('that a build fills: what ran runs on, and the next deploy goes through once there is room', async () => {
  mount('100m')
  const good = scene.project.commit('1')
  expectSuccess(await deploy())
  scene.project.commit('2', { build: [FILL] })
  const result = await deploy()
  expectFailure(
    result,
    /127\.0\.0\.1:\d+: `build` (failed|ended without a result)/,
    /the disk is full: \d+ KiB are free/,
    /the way back to \w{7} failed too: the work could not be started on the server/,
    `\`up\` did not begin: ${good.slice(0, 7)} runs on as before`,
    /free some space there/,
  )
  expect(scene.project.read('running')).toBe('1\n')
  expect(JSON.parse(result.outputs['report'] ?? '')).toMatchObject([{ runs: good, rolledBack: false }])
  free()
  const third = scene.project.commit('3')
  expectSuccess(await deploy())
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
})

test('that `up` fills: nobody claims to know what runs', async () => {
  mount('100m')
  scene.project.commit('1')
  expectSuccess(await deploy())
  scene.project.commit('2', { up: ['cp built running', `${FILL} || :`] })
  expectFailure(
    await deploy(),
    /127\.0\.0\.1:\d+: `up` ended without a result/,
    /the disk is full: \d+ KiB are free/,
    /the way back to \w{7} failed too[\s\S]*What runs is not known/,
  )
  free()
  const third = scene.project.commit('3')
  expectSuccess(await deploy())
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
})

/** The last line of the history will not fit into the page that the file has. */
function lengthenHistory(path: string): void {
  const file = join(path, '.git/evenkeel/history.jsonl')
  const line = readFileSync(file, 'utf8')
  writeFileSync(file, line.repeat(Math.floor(4_000 / line.length)))
}

test('that is full when the history is written: the commit stays up, and no line is lost after that', async () => {
  mount('100m')
  const first = scene.project.commit('1')
  expectSuccess(await deploy())
  lengthenHistory(scene.project.path)
  const second = scene.project.commit('2')
  const result = await deploy({ 'health-command': `${FILL} || :` })
  expectFailure(
    result,
    /127\.0\.0\.1:\d+: the history on the server could not be written/,
    / 100% /,
    `${second.slice(0, 7)} is up there`,
    /free some space there; the next deploy to it puts the history right/,
  )
  expect(scene.project.read('running')).toBe('2\n')
  expect(JSON.parse(result.outputs['report'] ?? '')).toMatchObject([{ result: 'ok', runs: second }])
  free()
  scene.project.commit('3', { build: ['exit 1'] })
  expectFailure(await deploy(), `back at ${first.slice(0, 7)}`)
  const third = scene.project.commit('4')
  expectSuccess(await deploy())
  const lines = readFileSync(join(scene.project.path, '.git/evenkeel/history.jsonl'), 'utf8').split('\n')
  expect(lines.slice(-4)).toEqual([
    expect.stringMatching(new RegExp(`"sha":"${second}".*"result":"interrupted"`)),
    expect.stringMatching(/"result":"failed"/),
    expect.stringMatching(new RegExp(`"sha":"${third}".*"result":"ok"`)),
    '',
  ])
})

describe('of one host of several', () => {
  let hosts: Sshd[]
  beforeAll(async () => {
    hosts = [
      await startSshd({ env: { HOST: '1' } }),
      await startSshd({ host: '127.0.0.2', env: { HOST: '2' } }),
    ]
    hosts[1]?.addClientKey(hosts[0]?.clientKey.publicKey ?? '')
  })
  afterAll(async () => {
    for (const sshd of hosts ?? []) await sshd.stop()
  })
  const place = () => scene.project.path.replaceAll('/', '_')
  const disk = (index: number) => join(hosts[index]?.home ?? '', place())
  const checkout = (index: number) => join(disk(index), 'app')
  const running = () =>
    [0, 1].map((index) => {
      const file = join(checkout(index), 'running')
      return existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
    })
  const toBoth = (more: Record<string, string> = {}) =>
    deploy({
      host: hosts.map(({ user, host, port }) => `${user}@${host}:${port}`).join('\n'),
      'private-key': hosts[0]?.clientKey.privateKey ?? '',
      'known-hosts': hosts.map((sshd) => sshd.knownHostsLines).join(''),
      path: `${place()}/app`,
      ...more,
    })

  test('nothing is changed on the others', async () => {
    mount('32m', disk(1))
    scene.project.commit('1')
    expectFailure(await toBoth(), /127\.0\.0\.2:\d+: the disk is full/, /nothing was changed on any host/)
    expect(existsSync(checkout(0))).toBe(false)
  })

  test.each([
    ['a build fills', /127\.0\.0\.2:\d+: `build` (failed|ended without a result)/, () => () => {}],
    [
      'is full when the work is to start',
      /127\.0\.0\.2:\d+: the work could not be started/,
      () => {
        const hook = fillBeforeTheStart(checkout(1))
        return () => rmSync(hook)
      },
    ],
  ] as const)('that %s: the others come back', async (_what, message, spoil) => {
    mount('100m', disk(1))
    const good = scene.project.commit('1')
    expectSuccess(await toBoth())
    const undo = spoil()
    scene.project.commit('2', { build: [`test "$$HOST" = 1 || ${FILL}`, 'cp version built'] })
    const result = await toBoth()
    expectFailure(
      result,
      message,
      new RegExp(`127\\.0\\.0\\.1:\\d+: another host failed[\\s\\S]*back at ${good.slice(0, 7)}`),
    )
    expect(running()).toEqual(['1', '1'])
    expect(JSON.parse(result.outputs['report'] ?? '')).toMatchObject([
      { runs: good, rolledBack: true },
      { runs: good, rolledBack: false },
    ])
    undo()
    free(checkout(1))
    scene.project.commit('3')
    expectSuccess(await toBoth())
    expect(running()).toEqual(['3', '3'])
  })

  test('that is full when the history is written: all have the commit', async () => {
    mount('100m', disk(0))
    scene.project.commit('1')
    expectSuccess(await toBoth())
    lengthenHistory(checkout(0))
    scene.project.commit('2')
    const result = await toBoth({ 'health-command': `test "$HOST" = 2 || ${FILL} || :` })
    expectFailure(result, /^\w+@127\.0\.0\.1:\d+: the history on the server could not be written/)
    expect(running()).toEqual(['2', '2'])
    free(checkout(0))
    scene.project.commit('3')
    expectSuccess(await toBoth())
    expect(running()).toEqual(['3', '3'])
  })
})
