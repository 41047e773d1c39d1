// The last look before the work starts: only the deploy that holds the lock may begin.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DeployPlan } from '../../src/git/plan.ts'
import { preparation } from '../../src/git/work.ts'
import { type GitProject, makeGitProject } from '../actions/git-project.ts'

let project: GitProject
beforeEach(() => {
  project = makeGitProject()
})
afterEach(() => project.remove())

test.each([
  ['this deploy', '5\nmine\n', true, 0],
  ['another one that has taken the same number', '5\nother\n', true, 68],
  ['a later one of this deploy', '6\nmine\n', true, 68],
  ['nobody any more', '5\nmine\n', false, 68],
] as const)('the lock is held by %s', async (_who, fence, isHeld, status) => {
  const sha = project.commit('1')
  project.clone()
  const folder = join(project.path, '.git/evenkeel')
  mkdirSync(folder)
  writeFileSync(join(folder, 'fence'), fence)
  const plan: DeployPlan = {
    ...{ id: 'mine', path: project.path, sha, release: '', build: '', up: '', env: {}, run: '', actor: '' },
    ...{
      timeoutMs: 0,
      lockWaitMs: 0,
      reconnectGraceMs: 0,
      sync: 'exact',
      onFailure: 'stop',
      health: undefined,
    },
    source: { repository: undefined, token: '', tokenUrl: '', workspace: undefined },
  }
  const place = { host: '', path: project.path, folder, fence: 5, before: undefined, wayBack: undefined }
  const { script } = preparation(plan, place)
  const holder = isHeld
    ? spawn('flock', [join(folder, 'deploy.lock'), 'sh', '-c', 'echo held; exec cat'])
    : undefined
  if (holder !== undefined) await once(holder.stdout, 'data')
  try {
    expect(spawnSync('sh', ['-c', `set -e\n${script}`]).status).toBe(status)
  } finally {
    holder?.stdin.end()
    if (holder !== undefined) await once(holder, 'exit')
  }
})
