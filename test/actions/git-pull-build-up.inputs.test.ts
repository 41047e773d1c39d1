import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startGitHttpServer } from './git-http-server.ts'
import { type GitProject, makeGitProject } from './git-project.ts'
import { healthInputCases } from './health-input-cases.ts'
import { sshInputCases, sshInputs } from './ssh-input-cases.ts'

let sshd: Sshd
let project: GitProject

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())
beforeEach(() => {
  project = makeGitProject()
  project.commit('1')
})
afterEach(() => project.remove())

const options = (more: Record<string, string> = {}) => ({
  action: 'git-pull-build-up',
  inputs: { ...sshInputs(sshd), path: project.path, repository: project.origin, ref: 'main', ...more },
})
const deploy = (more: Record<string, string> = {}) => runAction(options(more))

describeInputs('git-pull-build-up', {
  ...sshInputCases(() => sshd, deploy),
  ...healthInputCases(deploy),
  path: async () => {
    const path = join(dirname(project.path), 'elsewhere')
    expectSuccess(await deploy({ path }))
    expect(readFileSync(join(path, 'running'), 'utf8')).toBe('1\n')
  },
  ref: async () => {
    const sha = project.git('rev-parse', 'HEAD')
    project.commit('2')
    expectSuccess(await deploy({ ref: sha }))
    expect(project.read('running')).toBe('1\n')
  },
  repository: async () => {
    expectFailure(await deploy({ repository: '' }), /there is nothing to pull from/)
  },
  transport: async () => {
    project.commit('2')
    project.git('reset', '-q', '--hard', 'HEAD~1')
    expectSuccess(await runAction({ ...options({ transport: 'push' }), workspace: project.work }))
    expect(project.read('running')).toBe('1\n')
  },
  sync: async () => {
    project.clone()
    project.remote(
      '-c',
      'user.name=Bo',
      '-c',
      'user.email=b@c',
      'commit',
      '-q',
      '--allow-empty',
      '-m',
      'local',
    )
    writeFileSync(join(project.path, 'local.txt'), 'x')
    project.remote('add', 'local.txt')
    project.remote('-c', 'user.name=Bo', '-c', 'user.email=b@c', 'commit', '-q', '-m', 'local')
    project.commit('2')
    expectSuccess(await deploy({ sync: 'rebase' }))
    expect(project.read('local.txt')).toBe('x')
    expectSuccess(await deploy({ sync: 'exact' }))
    expect(project.read('local.txt')).toBe('')
  },
  token: async () => {
    const server = await startGitHttpServer(dirname(project.origin), 'right')
    try {
      const run = (token: string) =>
        runAction({
          ...options({ repository: `${server.url}/origin.git`, token }),
          github: { server_url: server.url },
        })
      expectFailure(await run('wrong'), /the token was refused/)
      expectSuccess(await run('right'))
    } finally {
      server.stop()
    }
  },
  build: async () => {
    expectSuccess(await deploy({ build: 'echo one >built\necho two >>built' }))
    expect(project.read('running')).toBe('one\ntwo\n')
  },
  up: async () => {
    expectSuccess(await deploy({ up: 'echo "$EVENKEEL_RELEASE" >running' }))
    expect(project.read('running')).toBe(`${project.git('rev-parse', 'HEAD').slice(0, 7)}-1234567890\n`)
  },
  env: async () => {
    expectSuccess(await deploy({ env: 'A=1 2\nB="x"', up: 'echo "$A$B" >running' }))
    expect(project.read('running')).toBe('1 2"x"\n')
  },
  timeout: async () => {
    expectFailure(await deploy({ build: 'sleep 600', timeout: '1s' }), /`build` did not end within 1000 ms/)
  },
  'lock-wait': async () => {
    const first = startAction(
      options({ build: 'echo under way; until test -f go; do sleep 0.05; done; cp version built' }),
    )
    await first.waitForLog(/\| under way/)
    const second = startAction(options({ 'lock-wait': '20s' }))
    await second.waitForLog(/waiting for it/)
    writeFileSync(join(project.path, 'go'), '')
    expectSuccess(await first.result)
    expectSuccess(await second.result)
  },
  batch: async () => {
    const other = await startSshd({ host: '127.0.0.2', env: { ELSEWHERE: 'yes' } })
    try {
      other.addClientKey(sshd.clientKey.publicKey)
      const { host, 'known-hosts': known } = sshInputs(sshd)
      const both = {
        host: `${host}, ${other.user}@${other.host}:${other.port}`,
        'known-hosts': `${known}${other.knownHostsLines}`,
        path: 'app',
        // Each waits for the other one: only two at a time can come to their end.
        build: `touch '${project.work}/'"\${ELSEWHERE:-no}"; until test -f '${project.work}/yes' -a -f '${project.work}/no'; do sleep 0.05; done`,
        up: 'true',
      }
      expectFailure(await deploy({ ...both, timeout: '2s' }), /did not end within/)
      expect(existsSync(join(project.work, 'yes'))).toBe(false)
      expectSuccess(await deploy({ ...both, batch: '2' }))
    } finally {
      await other.stop()
    }
  },
  'on-failure': async () => {
    expectSuccess(await deploy())
    const bad = project.commit('2', { build: ['exit 1'] })
    const result = await deploy({ 'on-failure': 'stop' })
    expectFailure(result, /`on-failure` is stop/)
    expect(result.outputs['rolled-back']).toBe('false')
    expect(project.remote('rev-parse', 'HEAD')).toBe(bad)
  },
  'dry-run': async () => {
    expectSuccess(await deploy({ 'dry-run': 'true' }))
    expect(existsSync(project.path)).toBe(false)
  },
})
