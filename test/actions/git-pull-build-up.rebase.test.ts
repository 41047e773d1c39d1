// sync: rebase, and checkouts in which git was told to look away.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gitScene } from './git-scene.ts'

const scene = gitScene()
beforeEach(() => {
  scene.project.commit('1', {}, { 'config.ini': 'a=1\n' })
  scene.project.clone()
})

const deploy = (more: Record<string, string> = {}) =>
  scene.deploy({ repository: '', sync: 'rebase', ...more })

/** A commit of the server's own. */
function commitLocally(file: string, text: string): string {
  writeFileSync(join(scene.project.path, file), text)
  scene.project.remote('add', file)
  scene.project.remote('commit', '-qm', `local ${file}`)
  return scene.project.remote('rev-parse', 'HEAD')
}
const subjects = () => scene.project.remote('log', '--format=%an %s').split('\n')

describe('sync: rebase', () => {
  test('keeps local commits over several deploys, changed files go to a stash ref', async () => {
    const local = commitLocally('local.txt', 'mine\n')
    writeFileSync(join(scene.project.path, 'config.ini'), 'a=changed by hand\n')
    const second = scene.project.commit('2', {}, { 'config.ini': 'a=2\n' })
    const result = await deploy()
    expectSuccess(result)
    expect(result.outputs).toMatchObject({ sha: second, 'previous-sha': local })
    expect(result.log).toContain('1 local commits were put on top')
    expect(subjects()).toEqual(['Ada local local.txt', 'Ada version 2', 'Ada version 1'])
    expect(scene.project.read('config.ini')).toBe('a=2\n')
    expect(scene.project.remote('for-each-ref', 'refs/evenkeel/stash')).not.toBe('')
    expect(scene.project.remote('rev-parse', 'main')).toBe(local)
    expect(existsSync(join(scene.project.path, '.git/evenkeel/rebase'))).toBe(false)

    const again = await deploy()
    expectSuccess(again)
    expect(again.outputs['changed']).toBe('false')

    // A forced push: what it has dropped does not come back as if it were local.
    scene.project.git('reset', '-q', '--hard', 'HEAD~1')
    scene.project.commit('3')
    expectSuccess(await deploy())
    expect(subjects()).toEqual(['Ada local local.txt', 'Ada version 3', 'Ada version 1'])
    expect(scene.project.read('running')).toBe('3\n')
  })

  test('after a way back, too, what a forced push has dropped does not come back', async () => {
    commitLocally('local.txt', 'mine\n')
    scene.project.commit('2')
    expectSuccess(await deploy())
    scene.project.git('reset', '-q', '--hard', 'HEAD~1')
    scene.project.commit('3', { build: ['exit 1'] })
    expectFailure(await deploy(), /back at/)
    expect(subjects()).toEqual(['Ada local local.txt', 'Ada version 2', 'Ada version 1'])
    scene.project.commit('4')
    expectSuccess(await deploy())
    expect(subjects()).toEqual(['Ada local local.txt', 'Ada version 4', 'Ada version 3', 'Ada version 1'])
  })

  test('a conflict stops it with everything as it was', async () => {
    const local = commitLocally('config.ini', 'a=local\n')
    writeFileSync(join(scene.project.path, 'version'), 'edited\n')
    scene.project.commit('2', {}, { 'config.ini': 'a=2\n' })
    const result = await deploy()
    expectFailure(result, /`checkout` failed/, /conflict in config\.ini/, /runs on as before/)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(local)
    expect(scene.project.remote('rev-parse', '--abbrev-ref', 'HEAD')).toBe('main')
    expect(scene.project.read('version')).toBe('edited\n')
    expect(scene.project.read('config.ini')).toBe('a=local\n')
    expect(scene.project.remote('worktree', 'list').split('\n')).toHaveLength(1)
    expect(existsSync(join(scene.project.path, 'running'))).toBe(false)
  })

  test('goes back to the local commits as they were, and never to those of a failed deploy', async () => {
    commitLocally('local.txt', 'mine\n')
    expectSuccess(await deploy())
    const good = scene.project.remote('rev-parse', 'HEAD')
    scene.project.commit('2', { build: ['exit 1'] })
    const result = await deploy()
    expectFailure(result, `back at ${good.slice(0, 7)}`)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    expect(scene.project.history().at(-1)).toMatchObject({ result: 'failed', runs: good })

    expectFailure(await deploy({ 'on-failure': 'stop' }), /`build` failed/)
    expect(subjects()[0]).toBe('Ada local local.txt')
    expect(scene.project.remote('rev-parse', 'HEAD')).not.toBe(good)
    scene.project.commit('3', { up: ['exit 1'] })
    const third = await deploy()
    expectFailure(third, `back at ${good.slice(0, 7)}`)
    expect(third.outputs['previous-sha']).toBe(good)
  })
})

test.each([
  'assume-unchanged',
  'skip-worktree',
])('a changed file that is marked %s goes to a stash ref, too', async (mark) => {
  writeFileSync(join(scene.project.path, 'config.ini'), 'a=changed by hand\n')
  scene.project.remote('update-index', `--${mark}`, 'config.ini')
  const sha = scene.project.commit('2', {}, { 'config.ini': 'a=2\n' })
  expectSuccess(await deploy({ sync: 'exact' }))
  expect(scene.project.read('config.ini')).toBe('a=2\n')
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(sha)
  const stash = scene.project.remote('for-each-ref', '--format=%(refname)', 'refs/evenkeel/stash')
  expect(scene.project.remote('show', `${stash}:config.ini`)).toBe('a=changed by hand')
})
