import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import type { NodeRelease } from '../harness/job.ts'
import { gitScene } from './git-scene.ts'

const scene = gitScene()

const deploy = (more: Record<string, string> = {}, node: NodeRelease = '20') => scene.deploy(more, { node })

describe.each(['20', '24'] as const)('on Node %s', (node) => {
  test('clones, then pulls: the exact commit is built and brought up', async () => {
    const first = scene.project.commit('1')
    const cloned = await deploy({}, node)
    expectSuccess(cloned)
    expect(cloned.outputs).toMatchObject({
      sha: first,
      'previous-sha': '',
      changed: 'true',
      'rolled-back': 'false',
    })
    expect(scene.project.read('running')).toBe('1\n')

    const second = scene.project.commit('2')
    scene.project.commit('3')
    const pulled = await deploy({ ref: second, 'health-command': 'test "$(cat running)" = 2' }, node)
    expectSuccess(pulled)
    expect(pulled.outputs).toMatchObject({ sha: second, 'previous-sha': first, changed: 'true' })
    expect(scene.project.read('running')).toBe('2\n')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(second)
    expect(pulled.log).toContain(
      `${scene.sshd.user}@${scene.sshd.host}:${scene.sshd.port} | cp version built`,
    )
    expect(readFileSync(pulled.outputs['log-path'] ?? '', 'utf8')).toContain('cp built running')
    expect(scene.project.history().map(({ sha, result, runs }) => ({ sha, result, runs }))).toEqual([
      { sha: first, result: 'ok', runs: first },
      { sha: second, result: 'ok', runs: second },
    ])
    for (const { at, durationMs, actor, run, release } of scene.project.history()) {
      expect(Date.now() - Date.parse(at)).toBeGreaterThan(durationMs - 1_000)
      expect(durationMs).toBeGreaterThan(0)
      expect({ actor, run }).toEqual({ actor: 'octocat', run: expect.stringMatching(/\/actions\/runs\/\d+/) })
      expect(release).toMatch(/^\w{7}-\d+$/)
    }
    expect(pulled.summary).toContain(second.slice(0, 7))
    expect(pulled.orphans).toEqual([])
  })
})

test("the workflow's own commit is the default", async () => {
  const sha = scene.project.commit('1')
  scene.project.commit('2')
  const result = await scene.deploy({ ref: '' }, { github: { sha } })
  expectSuccess(result)
  expect(result.outputs['sha']).toBe(sha)
  expect(scene.project.read('running')).toBe('1\n')
})

test('a commit that is up already is not built again, unless it is unwell', async () => {
  const sha = scene.project.commit('1')
  const health = { 'health-command': 'test -f running', 'health-timeout': '300ms' }
  expectSuccess(await deploy(health))
  const again = await deploy(health)
  expectSuccess(again)
  expect(again.outputs).toMatchObject({ sha, 'previous-sha': sha, changed: 'false' })
  expect(again.log).not.toContain('cp version built')

  scene.project.remote('clean', '-fdxq')
  const unwell = await deploy(health)
  expectSuccess(unwell)
  expect(unwell.outputs['changed']).toBe('true')
  expect(scene.project.read('running')).toBe('1\n')
})

test('a broken build: the commit before is built and brought up again, and the failed one never counts', async () => {
  const good = scene.project.commit('1')
  expectSuccess(await deploy())
  const bad = scene.project.commit('2', {
    build: ['cp version built', 'echo the compiler says no >&2', 'exit 3'],
  })
  const result = await deploy()
  expectFailure(
    result,
    /`build` failed with exit code 2/,
    /the compiler says no/,
    new RegExp(`back at ${good.slice(0, 7)}: built and brought up again`),
  )
  expect(result.outputs).toMatchObject({ sha: bad, 'previous-sha': good, 'rolled-back': 'true' })
  expect(scene.project.read('built')).toBe('1\n')
  expect(scene.project.read('running')).toBe('1\n')
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
  expect(readFileSync(result.outputs['log-path'] ?? '', 'utf8')).toContain('the compiler says no')

  const third = scene.project.commit('3', { up: ['exit 4'] })
  const again = await deploy()
  expectFailure(again, /`up` failed/, new RegExp(`back at ${good.slice(0, 7)}`))
  expect(again.outputs).toMatchObject({ sha: third, 'previous-sha': good, 'rolled-back': 'true' })
  expect(scene.project.history().map(({ result: how, runs }) => [how, runs])).toEqual([
    ['ok', good],
    ['failed', good],
    ['failed', good],
  ])
})

test('broken health: the way back is taken, and health is asked again', async () => {
  const good = scene.project.commit('1')
  const health = { 'health-command': 'cat running; test "$(cat running)" = 1', 'health-timeout': '400ms' }
  expectSuccess(await deploy(health))
  scene.project.commit('2')
  const result = await deploy(health)
  expectFailure(
    result,
    /not healthy after \d+ probes/,
    /exit code 1, '2'/,
    /last lines of the log:\s+evenkeel: checked out \w+ version 2\s+cp version built\s+cp built running/,
    `back at ${good.slice(0, 7)}`,
    /health: good, '1'/,
  )
  expect(scene.project.read('running')).toBe('1\n')
})

test('a way back that fails too is said plainly', async () => {
  scene.project.commit('1', { up: ['test ! -f broken', 'cp built running'] })
  expectSuccess(await deploy())
  scene.project.commit('2', { up: ['touch broken', 'exit 1'] })
  const result = await deploy()
  expectFailure(
    result,
    /`up` failed/,
    /the way back to \w{7} failed too: `up` failed/,
    /What runs is not known/,
  )
  expect(result.outputs['rolled-back']).toBe('false')
  expect(scene.project.history().at(-1)).toMatchObject({ result: 'failed', runs: null })
})

test('on-failure: stop leaves things for a person', async () => {
  const good = scene.project.commit('1')
  expectSuccess(await deploy())
  const bad = scene.project.commit('2', { build: ['exit 1'] })
  expectFailure(
    await deploy({ 'on-failure': 'stop' }),
    /is checked out and left/,
    `${good.slice(0, 7)} runs on as before`,
  )
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(bad)
  expect(scene.project.read('running')).toBe('1\n')
})

describe('a checkout that people have worked in', () => {
  test('untracked and ignored files stay, changed tracked ones go to a stash ref', async () => {
    scene.project.commit(
      '1',
      {},
      { '.gitignore': 'data/\n.env\nbuilt\nrunning\n', 'config.ini': 'a=1\n', 'old.txt': 'x\n' },
    )
    scene.project.clone()
    writeFileSync(join(scene.project.path, '.env'), 'SECRET=1\n')
    writeFileSync(join(scene.project.path, 'notes.txt'), 'mine\n')
    writeFileSync(join(scene.project.path, 'config.ini'), 'a=changed by hand\n')
    scene.project.remote('rm', '-q', '--cached', 'old.txt')
    const sha = scene.project.commit('2', {}, { 'config.ini': 'a=2\n' })
    const result = await deploy()
    expectSuccess(result)
    expect(scene.project.read('.env')).toBe('SECRET=1\n')
    expect(scene.project.read('notes.txt')).toBe('mine\n')
    expect(scene.project.read('config.ini')).toBe('a=2\n')
    const [stash = ''] = scene.project
      .remote('for-each-ref', '--format=%(refname)', 'refs/evenkeel/stash')
      .split('\n')
    expect(result.log).toContain(`changed tracked files were saved: git stash apply ${stash}`)
    expect(scene.project.remote('show', `${stash}:config.ini`)).toBe('a=changed by hand')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(sha)
    expect(scene.project.remote('rev-parse', '--abbrev-ref', 'HEAD')).toBe('HEAD')
  })

  test.each([
    'untracked',
    'ignored',
  ])('an %s file in the way stops the deploy with everything as it was', async (kind) => {
    scene.project.commit('1', {}, kind === 'ignored' ? { '.gitignore': 'data.db\nbuilt\nrunning\n' } : {})
    expectSuccess(await deploy())
    writeFileSync(join(scene.project.path, 'data.db'), 'precious')
    writeFileSync(join(scene.project.path, 'version'), 'edited\n')
    const head = scene.project.remote('rev-parse', 'HEAD')
    scene.project.git('rm', '-q', '--ignore-unmatch', '--cached', '.gitignore')
    scene.project.commit('2', {}, { '.gitignore': '', 'data.db': 'from the commit' })
    expectFailure(await deploy(), /`checkout` failed/, /data\.db/, /runs on as before/)
    expect(scene.project.read('data.db')).toBe('precious')
    expect(scene.project.read('version')).toBe('edited\n')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(head)
  })

  test('local commits and branches, a merge in the middle: all are kept', async () => {
    scene.project.commit('1', {}, { 'a.txt': 'base\n' })
    scene.project.clone()
    const commit = ['-c', 'user.name=Bo', '-c', 'user.email=bo@example.com', 'commit', '-q', '-am']
    scene.project.remote('checkout', '-q', '-b', 'other')
    writeFileSync(join(scene.project.path, 'a.txt'), 'other\n')
    scene.project.remote(...commit, 'other')
    scene.project.remote('checkout', '-q', 'main')
    writeFileSync(join(scene.project.path, 'a.txt'), 'local\n')
    scene.project.remote(...commit, 'local')
    const local = scene.project.remote('rev-parse', 'main')
    expect(() =>
      scene.project.remote('-c', 'user.name=Bo', '-c', 'user.email=b@c', 'merge', '-q', 'other'),
    ).toThrow()
    const sha = scene.project.commit('2')
    expectSuccess(await deploy())
    expect(scene.project.remote('rev-parse', 'main')).toBe(local)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(sha)
    const stash = scene.project.remote('for-each-ref', '--format=%(refname)', 'refs/evenkeel/stash')
    expect(scene.project.remote('show', `${stash}:a.txt`)).toContain('<<<<<<<')
    expect(scene.project.remote('status', '--porcelain', '-uno')).toBe('')
  })
})

test('a history that was rewritten: the new one is deployed, and what it dropped can still be gone back to', async () => {
  const first = scene.project.commit('1')
  scene.project.commit('2')
  expectSuccess(await deploy())
  const dropped = scene.project.remote('rev-parse', 'HEAD')
  scene.project.git('reset', '-q', '--hard', first)
  scene.project.commit('3', { build: ['exit 1'] })
  expectFailure(await deploy(), `back at ${dropped.slice(0, 7)}`)
  expect(scene.project.read('running')).toBe('2\n')
  scene.project.git('reset', '-q', '--hard', first)
  const fourth = scene.project.commit('4')
  const result = await deploy()
  expectSuccess(result)
  expect(result.outputs).toMatchObject({ sha: fourth, 'previous-sha': dropped })
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(fourth)
  expectSuccess(await deploy({ ref: dropped }))
  expect(scene.project.read('running')).toBe('2\n')
})

test('a shallow checkout on the server gets newer commits and older ones', async () => {
  const first = scene.project.commit('1')
  scene.project.commit('2')
  execFileSync('git', ['clone', '-q', '--depth', '1', `file://${scene.project.origin}`, scene.project.path])
  const third = scene.project.commit('3')
  expectSuccess(await deploy())
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
  expectSuccess(await deploy({ ref: first }))
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(first)
  expect(scene.project.read('running')).toBe('1\n')
})

test('what up starts in the background lives on and does not hold the action', async () => {
  scene.project.commit('1', { up: ['sleep 600 & echo $$! >pid', 'setsid sleep 600 & echo $$! >pid2'] })
  expectSuccess(await deploy())
  for (const file of ['pid', 'pid2']) {
    const pid = Number(scene.project.read(file))
    expect(existsSync(`/proc/${pid}`)).toBe(true)
    process.kill(pid)
  }
})

test('a command that takes too long is ended with its children', async () => {
  scene.project.commit('1', { build: ['sleep 600 & echo $$! >pid; wait'] })
  expectFailure(await deploy({ timeout: '1s' }), /`build` did not end within 1000 ms and was ended/)
  expect(existsSync(`/proc/${scene.project.read('pid').trim()}`)).toBe(false)
})

test('a dry run says what would change and leaves refs, objects and files as they were', async () => {
  scene.project.commit('1')
  scene.project.clone()
  scene.project.commit('2', {}, { 'new.txt': 'x' })
  const snapshot = () =>
    [
      scene.project.remote('for-each-ref'),
      scene.project.remote('count-objects', '-v'),
      scene.project.remote('rev-parse', 'HEAD'),
      scene.project.remote('status', '--porcelain', '--ignored'),
      existsSync(join(scene.project.path, '.git/evenkeel')),
      existsSync(join(scene.project.path, '.git/FETCH_HEAD')),
      readFileSync(join(scene.project.path, '.git/index')).toString('hex'),
    ].join('\n')
  const before = snapshot()
  const result = await deploy({ 'dry-run': 'true' })
  expectSuccess(result)
  expect(result.log).toMatch(/commit \w{7} Ada: version 2/)
  expect(result.log).toMatch(/file A\s+new\.txt/)
  expect(snapshot()).toBe(before)

  scene.renew()
  scene.project.commit('1')
  expectSuccess(await deploy({ 'dry-run': 'true' }))
  expect(existsSync(scene.project.path)).toBe(false)
})
