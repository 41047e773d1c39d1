// What the suites of git-pull-build-up stand on: one server for the file, and for each test a project that is deployed to it.
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { type Sshd, type SshdOptions, startSshd } from '../bed/sshd.ts'
import type { ActionResult } from '../harness/action-result.ts'
import { runAction } from '../harness/action-run.ts'
import { type GitProject, makeGitProject } from './git-project.ts'
import { sshInputs } from './ssh-input-cases.ts'

type Inputs = Record<string, string>
type More = Partial<Omit<Parameters<typeof runAction>[0], 'action' | 'inputs'>>

export interface GitScene {
  readonly sshd: Sshd
  readonly project: GitProject
  /** For runAction and startAction: the newest commit of main is deployed, unless `more` says otherwise. */
  options(more?: Inputs): { action: string; inputs: Inputs }
  deploy(more?: Inputs, run?: More): Promise<ActionResult>
  /** Another project in place of this test's own, which is removed. */
  renew(name?: string): GitProject
}

/** To be called at a file's top level, before it sets up anything of its own. */
export function gitScene(server: SshdOptions = {}): GitScene {
  let sshd: Sshd | undefined
  let project: GitProject | undefined
  beforeAll(async () => {
    sshd = await startSshd(server)
  })
  afterAll(() => sshd?.stop())
  beforeEach(() => {
    project = makeGitProject()
  })
  afterEach(() => project?.remove())
  const scene: GitScene = {
    get sshd() {
      return there(sshd)
    },
    get project() {
      return there(project)
    },
    options: (more = {}) => ({
      action: 'git-pull-build-up',
      inputs: {
        ...sshInputs(scene.sshd),
        ...{ path: scene.project.path, repository: scene.project.origin, ref: 'main' },
        ...more,
      },
    }),
    deploy: (more, run = {}) => runAction({ ...scene.options(more), ...run }),
    renew(name) {
      project?.remove()
      project = makeGitProject(name)
      return project
    },
  }
  return scene
}

function there<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the scene is there in tests and their hooks only')
  return value
}
