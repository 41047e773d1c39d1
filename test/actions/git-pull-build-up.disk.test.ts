// A full disk: the checkout lies on a small file system of its own.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
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
  mkdirSync(dirname(project.path))
})
afterEach(() => {
  execFileSync('umount', [dirname(project.path)])
  project.remove()
})

const mount = (size: string) =>
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', dirname(project.path)])
const deploy = () =>
  runAction({
    action: 'git-pull-build-up',
    inputs: { ...sshInputs(sshd), path: project.path, repository: project.origin, ref: 'main' },
  })

test('is refused before anything is changed', async () => {
  mount('32m')
  project.commit('1')
  expectFailure(await deploy(), /the disk is full/, /nothing was changed on any host/)
})

test('that a build fills fails the deploy, and the next one goes through once there is room', async () => {
  mount('100m')
  project.commit('1')
  expectSuccess(await deploy())
  project.commit('2', { build: ['dd if=/dev/zero of=fill bs=1M'] })
  expectFailure(await deploy())
  expect(project.read('running')).toBe('1\n')
  execFileSync('rm', ['-f', `${project.path}/fill`])
  const third = project.commit('3')
  expectSuccess(await deploy())
  expect(project.remote('rev-parse', 'HEAD')).toBe(third)
})
