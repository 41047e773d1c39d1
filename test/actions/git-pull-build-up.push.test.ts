// transport: push. The server has no way to the repository; commits come over the SSH connection.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { runAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type GitProject, makeGitProject } from './git-project.ts'
import { sshInputs } from './ssh-input-cases.ts'

let sshd: Sshd
let project: GitProject

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())
beforeEach(() => {
  project = makeGitProject()
})
afterEach(() => project.remove())

const deploy = (more: Record<string, string> = {}, workspace = project.work) =>
  runAction({
    action: 'git-pull-build-up',
    inputs: { ...sshInputs(sshd), path: project.path, transport: 'push', ref: 'main', ...more },
    workspace,
  })

/** A checkout as actions/checkout makes it: one commit, no history. */
function shallowCheckout(): string {
  const folder = join(dirname(project.work), 'shallow')
  rmSync(folder, { recursive: true, force: true })
  execFileSync('git', ['clone', '-q', '--depth', '1', `file://${project.origin}`, folder])
  return folder
}

const bytesSent = ({ log }: { log: string }) => Number(/commits sent: (\d+) bytes/.exec(log)?.[1])

test('into an empty path, then only what is missing; the server asks nobody', async () => {
  const big = randomBytes(300_000).toString('base64')
  const first = project.commit('1', {}, { 'big.txt': big })
  const all = await deploy()
  expectSuccess(all)
  expect(project.read('running')).toBe('1\n')
  expect(project.remote('rev-parse', 'HEAD')).toBe(first)
  expect(project.remote('remote')).toBe('')
  expect(bytesSent(all)).toBeGreaterThan(300_000)

  // One line of the large file: the thin pack holds the difference alone.
  const second = project.commit('2', {}, { 'big.txt': `${big}\nmore\n` })
  project.commit('3')
  const result = await deploy({ ref: second })
  expectSuccess(result)
  expect(project.read('running')).toBe('2\n')
  expect(bytesSent(result)).toBeLessThan(2_000)
  expect(project.remote('fsck', '--connectivity-only')).toBe('')
  expect(result.outputs).toMatchObject({ sha: second, 'previous-sha': first })
  expectSuccess(await deploy({ ref: first }))
  expect(project.read('running')).toBe('1\n')
})

test('a broken build goes back', async () => {
  const good = project.commit('1')
  expectSuccess(await deploy())
  project.commit('2', { build: ['exit 1'] })
  expectFailure(await deploy(), `back at ${good.slice(0, 7)}: built and brought up again`)
})

test('a shallow checkout on the runner is deepened', async () => {
  project.commit('1')
  project.commit('2')
  const workspace = shallowCheckout()
  expectSuccess(await deploy({}, workspace))
  expect(project.remote('rev-list', '--count', 'HEAD')).toBe('2')
  expect(project.remote('fsck', '--connectivity-only')).toBe('')
})

test('a shallow checkout that cannot be deepened is refused with the remedy', async () => {
  project.commit('1')
  project.commit('2')
  const workspace = shallowCheckout()
  execFileSync('git', ['-C', workspace, 'remote', 'set-url', 'origin', '/nowhere'])
  const result = await deploy({}, workspace)
  expectFailure(result, /is shallow and could not be deepened/, /fetch-depth: 0/)
  expect(existsSync(join(project.path, 'Makefile'))).toBe(false)
})

test('a workspace without a checkout, and a commit that nobody has', async () => {
  project.commit('1')
  const empty = join(dirname(project.work), 'empty')
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
  const tagged = project.commit('1')
  project.git('tag', '-a', 'v1', '-m', 'x')
  project.git('push', '-q', 'origin', 'v1')
  project.git('checkout', '-q', '-b', 'feature/ü')
  const feature = project.commit('2')
  project.git('checkout', '-q', 'main')
  const main = project.commit('3')
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
    expect(project.remote('rev-parse', 'HEAD')).toBe(sha)
  }
})

test('a shallow checkout on the server gets what its missing history would have held', async () => {
  project.commit('1', {}, { 'old.txt': 'came before\n' })
  project.git('rm', '-q', 'old.txt')
  project.commit('2')
  execFileSync('git', ['clone', '-q', '--depth', '1', `file://${project.origin}`, project.path])
  const sha = project.commit('3', {}, { 'old.txt': 'came before\n' })
  expectSuccess(await deploy())
  expect(project.read('old.txt')).toBe('came before\n')
  expect(project.remote('rev-parse', 'HEAD')).toBe(sha)
  expect(project.remote('fsck', '--connectivity-only')).toBe('')
})

test('a dry run says what would change and leaves the objects as they were', async () => {
  project.commit('1')
  expectSuccess(await deploy())
  project.commit('2', {}, { 'new.txt': 'x' })
  const objects = () => project.remote('count-objects', '-v') + project.remote('for-each-ref')
  const before = objects()
  const result = await deploy({ 'dry-run': 'true' })
  expectSuccess(result)
  expect(result.log).toMatch(/commit \w{7} Ada: version 2/)
  expect(result.log).toMatch(/file A\s+new\.txt/)
  expect(objects()).toBe(before)
})

test('commits of the server alone are not in the way', async () => {
  project.commit('1')
  expectSuccess(await deploy())
  writeFileSync(join(project.path, 'local.txt'), 'x')
  project.remote('add', 'local.txt')
  project.remote('-c', 'user.name=Bo', '-c', 'user.email=bo@example.com', 'commit', '-qm', 'local')
  const local = project.remote('rev-parse', 'HEAD')
  project.commit('2')
  expectSuccess(await deploy())
  expect(project.read('running')).toBe('2\n')
  expect(project.remote('for-each-ref', '--contains', local)).toContain('refs/evenkeel/kept')
})
