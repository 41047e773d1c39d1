// sync: rebase, and checkouts in which git was told to look away.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
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
  project.commit('1', {}, { 'config.ini': 'a=1\n' })
  project.clone()
})
afterEach(() => project.remove())

const deploy = (more: Record<string, string> = {}) =>
  runAction({
    action: 'git-pull-build-up',
    inputs: { ...sshInputs(sshd), path: project.path, ref: 'main', sync: 'rebase', ...more },
  })

/** A commit of the server's own. */
function commitLocally(file: string, text: string): string {
  writeFileSync(join(project.path, file), text)
  project.remote('add', file)
  project.remote('commit', '-qm', `local ${file}`)
  return project.remote('rev-parse', 'HEAD')
}
const subjects = () => project.remote('log', '--format=%an %s').split('\n')

describe('sync: rebase', () => {
  test('keeps local commits over several deploys, changed files go to a stash ref', async () => {
    const local = commitLocally('local.txt', 'mine\n')
    writeFileSync(join(project.path, 'config.ini'), 'a=changed by hand\n')
    const second = project.commit('2', {}, { 'config.ini': 'a=2\n' })
    const result = await deploy()
    expectSuccess(result)
    expect(result.outputs).toMatchObject({ sha: second, 'previous-sha': local })
    expect(result.log).toContain('1 local commits were put on top')
    expect(subjects()).toEqual(['Ada local local.txt', 'Ada version 2', 'Ada version 1'])
    expect(project.read('config.ini')).toBe('a=2\n')
    expect(project.remote('for-each-ref', 'refs/evenkeel/stash')).not.toBe('')
    expect(project.remote('rev-parse', 'main')).toBe(local)
    expect(existsSync(join(project.path, '.git/evenkeel/rebase'))).toBe(false)

    const again = await deploy()
    expectSuccess(again)
    expect(again.outputs['changed']).toBe('false')

    // A forced push: what it has dropped does not come back as if it were local.
    project.git('reset', '-q', '--hard', 'HEAD~1')
    project.commit('3')
    expectSuccess(await deploy())
    expect(subjects()).toEqual(['Ada local local.txt', 'Ada version 3', 'Ada version 1'])
    expect(project.read('running')).toBe('3\n')
  })

  test('after a way back, too, what a forced push has dropped does not come back', async () => {
    commitLocally('local.txt', 'mine\n')
    project.commit('2')
    expectSuccess(await deploy())
    project.git('reset', '-q', '--hard', 'HEAD~1')
    project.commit('3', { build: ['exit 1'] })
    expectFailure(await deploy(), /back at/)
    expect(subjects()).toEqual(['Ada local local.txt', 'Ada version 2', 'Ada version 1'])
    project.commit('4')
    expectSuccess(await deploy())
    expect(subjects()).toEqual(['Ada local local.txt', 'Ada version 4', 'Ada version 3', 'Ada version 1'])
  })

  test('a conflict stops it with everything as it was', async () => {
    const local = commitLocally('config.ini', 'a=local\n')
    writeFileSync(join(project.path, 'version'), 'edited\n')
    project.commit('2', {}, { 'config.ini': 'a=2\n' })
    const result = await deploy()
    expectFailure(result, /`checkout` failed/, /conflict in config\.ini/, /runs on as before/)
    expect(project.remote('rev-parse', 'HEAD')).toBe(local)
    expect(project.remote('rev-parse', '--abbrev-ref', 'HEAD')).toBe('main')
    expect(project.read('version')).toBe('edited\n')
    expect(project.read('config.ini')).toBe('a=local\n')
    expect(project.remote('worktree', 'list').split('\n')).toHaveLength(1)
    expect(existsSync(join(project.path, 'running'))).toBe(false)
  })

  test('goes back to the local commits as they were, and never to those of a failed deploy', async () => {
    commitLocally('local.txt', 'mine\n')
    expectSuccess(await deploy())
    const good = project.remote('rev-parse', 'HEAD')
    project.commit('2', { build: ['exit 1'] })
    const result = await deploy()
    expectFailure(result, `back at ${good.slice(0, 7)}`)
    expect(project.remote('rev-parse', 'HEAD')).toBe(good)
    expect(project.history().at(-1)).toMatchObject({ result: 'failed', runs: good })

    expectFailure(await deploy({ 'on-failure': 'stop' }), /`build` failed/)
    expect(subjects()[0]).toBe('Ada local local.txt')
    expect(project.remote('rev-parse', 'HEAD')).not.toBe(good)
    project.commit('3', { up: ['exit 1'] })
    const third = await deploy()
    expectFailure(third, `back at ${good.slice(0, 7)}`)
    expect(third.outputs['previous-sha']).toBe(good)
  })
})

test.each([
  'assume-unchanged',
  'skip-worktree',
])('a changed file that is marked %s goes to a stash ref, too', async (mark) => {
  writeFileSync(join(project.path, 'config.ini'), 'a=changed by hand\n')
  project.remote('update-index', `--${mark}`, 'config.ini')
  const sha = project.commit('2', {}, { 'config.ini': 'a=2\n' })
  expectSuccess(await deploy({ sync: 'exact' }))
  expect(project.read('config.ini')).toBe('a=2\n')
  expect(project.remote('rev-parse', 'HEAD')).toBe(sha)
  const stash = project.remote('for-each-ref', '--format=%(refname)', 'refs/evenkeel/stash')
  expect(project.remote('show', `${stash}:config.ini`)).toBe('a=changed by hand')
})
