// transport: push. The server has no way to the repository; commits come over the SSH connection.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gitScene } from './git-scene.ts'
import { startLine } from './static-line.ts'

const scene = gitScene()

const deploy = (more: Record<string, string> = {}, workspace = scene.project.work) =>
  scene.deploy({ repository: '', transport: 'push', ...more }, { workspace })

/** A checkout as actions/checkout makes it: one commit, no history. */
function shallowCheckout(): string {
  const folder = join(dirname(scene.project.work), 'shallow')
  rmSync(folder, { recursive: true, force: true })
  execFileSync('git', ['clone', '-q', '--depth', '1', `file://${scene.project.origin}`, folder])
  return folder
}

const bytesSent = ({ log }: { log: string }) => Number(/commits sent: (\d+) bytes/.exec(log)?.[1])

test('into an empty path, then only what is missing; the server asks nobody', async () => {
  const big = randomBytes(300_000).toString('base64')
  const first = scene.project.commit('1', {}, { 'big.txt': big })
  const all = await deploy()
  expectSuccess(all)
  expect(scene.project.read('running')).toBe('1\n')
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(first)
  expect(scene.project.remote('remote')).toBe('')
  expect(bytesSent(all)).toBeGreaterThan(300_000)

  // One line of the large file: the thin pack holds the difference alone.
  const second = scene.project.commit('2', {}, { 'big.txt': `${big}\nmore\n` })
  scene.project.commit('3')
  const result = await deploy({ ref: second })
  expectSuccess(result)
  expect(scene.project.read('running')).toBe('2\n')
  expect(bytesSent(result)).toBeLessThan(2_000)
  expect(scene.project.remote('fsck', '--connectivity-only')).toBe('')
  expect(result.outputs).toMatchObject({ sha: second, 'previous-sha': first })
  expectSuccess(await deploy({ ref: first }))
  expect(scene.project.read('running')).toBe('1\n')
})

test('a connection that is cut in the middle of the commits is made again, and they arrive', async () => {
  scene.project.commit('1')
  expectSuccess(await deploy())
  const sha = scene.project.commit('2', {}, { 'big.txt': randomBytes(1_500_000).toString('base64') })
  const line = await startLine(scene.sshd)
  try {
    line.haltAfter(400_000)
    const result = await scene.deploy(
      { repository: '', transport: 'push', ...line.inputs },
      {
        workspace: scene.project.work,
        during: async () => {
          await line.halted()
          line.cut()
        },
      },
    )
    expectSuccess(result)
    expect(result.log).toContain('connected again')
    expect(bytesSent(result)).toBeGreaterThan(1_500_000)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(sha)
    expect(scene.project.remote('fsck', '--connectivity-only')).toBe('')
    expect(scene.project.history().map((entry) => entry.result)).toEqual(['ok', 'ok'])
  } finally {
    line.close()
  }
})

test('two at once: one waits for the lock of the other, and both bring what they were asked for', async () => {
  scene.project.commit('1')
  expectSuccess(await deploy())
  const commits = [scene.project.commit('2'), scene.project.commit('3')]
  const results = await Promise.all(commits.map((ref) => deploy({ ref, 'lock-wait': '60s' })))
  for (const result of results) expectSuccess(result)
  const [, ...history] = scene.project.history()
  expect(history.map(({ result }) => result)).toEqual(['ok', 'ok'])
  expect(history.map(({ sha }) => sha).sort()).toEqual([...commits].sort())
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(history[1]?.sha)
  expect(history[1]?.previous).toBe(history[0]?.sha)
})

test('a broken build goes back', async () => {
  const good = scene.project.commit('1')
  expectSuccess(await deploy())
  scene.project.commit('2', { build: ['exit 1'] })
  expectFailure(await deploy(), `back at ${good.slice(0, 7)}: built and brought up again`)
})

test('a shallow checkout on the runner is deepened', async () => {
  scene.project.commit('1')
  scene.project.commit('2')
  const workspace = shallowCheckout()
  expectSuccess(await deploy({}, workspace))
  expect(scene.project.remote('rev-list', '--count', 'HEAD')).toBe('2')
  expect(scene.project.remote('fsck', '--connectivity-only')).toBe('')
})

test('a shallow checkout that cannot be deepened is refused with the remedy', async () => {
  scene.project.commit('1')
  scene.project.commit('2')
  const workspace = shallowCheckout()
  execFileSync('git', ['-C', workspace, 'remote', 'set-url', 'origin', '/nowhere'])
  const result = await deploy({}, workspace)
  expectFailure(result, /is shallow and could not be deepened/, /fetch-depth: 0/)
  expect(existsSync(join(scene.project.path, 'Makefile'))).toBe(false)
})

test('a workspace without a checkout, and a commit that nobody has', async () => {
  scene.project.commit('1')
  const empty = join(dirname(scene.project.work), 'empty')
  execFileSync('mkdir', [empty])
  expectFailure(await deploy({ ref: 'a'.repeat(40) }, empty), /no git checkout in the workspace/)
  expectFailure(
    await deploy({ ref: 'a'.repeat(40) }),
    /is not in the checkout on the runner/,
    /fetch-depth: 0/,
  )
  expectFailure(await deploy({ ref: 'no-such' }), /there is no branch or tag 'no-such'/)
})

test('names: a branch that the runner only remembers, a tag of its origin, a commit that it lacks', async () => {
  const tagged = scene.project.commit('1')
  scene.project.git('tag', '-a', 'v1', '-m', 'x')
  scene.project.git('push', '-q', 'origin', 'v1')
  scene.project.git('checkout', '-q', '-b', 'feature/ü')
  const feature = scene.project.commit('2')
  scene.project.git('checkout', '-q', 'main')
  const main = scene.project.commit('3')
  const workspace = shallowCheckout()
  execFileSync('git', ['-C', workspace, 'checkout', '-q', '--detach'])
  execFileSync('git', ['-C', workspace, 'branch', '-q', '-D', 'main'])
  for (const [ref, sha] of [
    ['main', main],
    ['v1', tagged],
    ['feature/ü', feature],
    [feature, feature],
  ] as const) {
    const result = await deploy({ ref }, workspace)
    expectSuccess(result)
    expect(result.outputs['sha']).toBe(sha)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(sha)
  }
})

test('a shallow checkout on the server gets what its missing history would have held', async () => {
  scene.project.commit('1', {}, { 'old.txt': 'came before\n' })
  scene.project.git('rm', '-q', 'old.txt')
  scene.project.commit('2')
  execFileSync('git', ['clone', '-q', '--depth', '1', `file://${scene.project.origin}`, scene.project.path])
  const sha = scene.project.commit('3', {}, { 'old.txt': 'came before\n' })
  expectSuccess(await deploy())
  expect(scene.project.read('old.txt')).toBe('came before\n')
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(sha)
  expect(scene.project.remote('fsck', '--connectivity-only')).toBe('')
})

test('a dry run says what would change and leaves the objects as they were', async () => {
  scene.project.commit('1')
  expectSuccess(await deploy())
  scene.project.commit('2', {}, { 'new.txt': 'x' })
  const objects = () => scene.project.remote('count-objects', '-v') + scene.project.remote('for-each-ref')
  const before = objects()
  const result = await deploy({ 'dry-run': 'true' })
  expectSuccess(result)
  expect(result.log).toMatch(/commit \w{7} Ada: version 2/)
  expect(result.log).toMatch(/file A\s+new\.txt/)
  expect(objects()).toBe(before)
})

test('commits of the server alone are not in the way', async () => {
  scene.project.commit('1')
  expectSuccess(await deploy())
  writeFileSync(join(scene.project.path, 'local.txt'), 'x')
  scene.project.remote('add', 'local.txt')
  scene.project.remote('-c', 'user.name=Bo', '-c', 'user.email=bo@example.com', 'commit', '-qm', 'local')
  const local = scene.project.remote('rev-parse', 'HEAD')
  scene.project.commit('2')
  expectSuccess(await deploy())
  expect(scene.project.read('running')).toBe('2\n')
  expect(scene.project.remote('for-each-ref', '--contains', local)).toContain('refs/evenkeel/kept')
})
