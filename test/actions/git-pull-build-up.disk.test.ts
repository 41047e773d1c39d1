// A full disk: the checkout lies on a small file system of its own.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gitScene } from './git-scene.ts'

const scene = gitScene()
beforeEach(() => {
  mkdirSync(dirname(scene.project.path))
})
afterEach(() => {
  execFileSync('umount', [dirname(scene.project.path)])
})

const mount = (size: string) =>
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', dirname(scene.project.path)])
const { deploy } = scene

test('is refused before anything is changed', async () => {
  mount('32m')
  scene.project.commit('1')
  expectFailure(await deploy(), /the disk is full/, /nothing was changed on any host/)
})

test('that a build fills fails the deploy, and the next one goes through once there is room', async () => {
  mount('100m')
  scene.project.commit('1')
  expectSuccess(await deploy())
  scene.project.commit('2', { build: ['dd if=/dev/zero of=fill bs=1M'] })
  expectFailure(await deploy())
  expect(scene.project.read('running')).toBe('1\n')
  execFileSync('rm', ['-f', `${scene.project.path}/fill`])
  const third = scene.project.commit('3')
  expectSuccess(await deploy())
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
})
