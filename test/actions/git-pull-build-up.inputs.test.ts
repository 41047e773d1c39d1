import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, expect } from 'vitest'
import { startSshd } from '../bed/sshd.ts'
import { runAction, startAction } from '../harness/action-run.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startGitHttpServer } from './git-http-server.ts'
import { gitScene } from './git-scene.ts'
import { healthInputCases } from './health-input-cases.ts'
import { sshInputCases, sshInputs } from './ssh-input-cases.ts'

const scene = gitScene()
beforeEach(() => {
  scene.project.commit('1')
})

const { options, deploy } = scene

describeInputs('git-pull-build-up', {
  ...sshInputCases(() => scene.sshd, deploy),
  ...healthInputCases(deploy),
  path: async () => {
    const path = join(dirname(scene.project.path), 'elsewhere')
    expectSuccess(await deploy({ path }))
    expect(readFileSync(join(path, 'running'), 'utf8')).toBe('1\n')
  },
  ref: async () => {
    const sha = scene.project.git('rev-parse', 'HEAD')
    scene.project.commit('2')
    expectSuccess(await deploy({ ref: sha }))
    expect(scene.project.read('running')).toBe('1\n')
  },
  repository: async () => {
    expectFailure(await deploy({ repository: '' }), /there is nothing to pull from/)
  },
  transport: async () => {
    scene.project.commit('2')
    scene.project.git('reset', '-q', '--hard', 'HEAD~1')
    expectSuccess(await runAction({ ...options({ transport: 'push' }), workspace: scene.project.work }))
    expect(scene.project.read('running')).toBe('1\n')
  },
  sync: async () => {
    scene.project.clone()
    scene.project.remote(
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
    writeFileSync(join(scene.project.path, 'local.txt'), 'x')
    scene.project.remote('add', 'local.txt')
    scene.project.remote('-c', 'user.name=Bo', '-c', 'user.email=b@c', 'commit', '-q', '-m', 'local')
    scene.project.commit('2')
    expectSuccess(await deploy({ sync: 'rebase' }))
    expect(scene.project.read('local.txt')).toBe('x')
    expectSuccess(await deploy({ sync: 'exact' }))
    expect(scene.project.read('local.txt')).toBe('')
  },
  token: async () => {
    const server = await startGitHttpServer(dirname(scene.project.origin), 'right')
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
    expect(scene.project.read('running')).toBe('one\ntwo\n')
  },
  up: async () => {
    expectSuccess(await deploy({ up: 'echo "$EVENKEEL_RELEASE" >running' }))
    expect(scene.project.read('running')).toBe(
      `${scene.project.git('rev-parse', 'HEAD').slice(0, 7)}-1234567890\n`,
    )
  },
  env: async () => {
    expectSuccess(await deploy({ env: 'A=1 2\nB="x"', up: 'echo "$A$B" >running' }))
    expect(scene.project.read('running')).toBe('1 2"x"\n')
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
    writeFileSync(join(scene.project.path, 'go'), '')
    expectSuccess(await first.result)
    expectSuccess(await second.result)
  },
  batch: async () => {
    const other = await startSshd({ host: '127.0.0.2', env: { ELSEWHERE: 'yes' } })
    try {
      other.addClientKey(scene.sshd.clientKey.publicKey)
      const { host, 'known-hosts': known } = sshInputs(scene.sshd)
      const both = {
        host: `${host}, ${other.user}@${other.host}:${other.port}`,
        'known-hosts': `${known}${other.knownHostsLines}`,
        path: 'app',
        // Each waits for the other one: only two at a time can come to their end.
        build: `touch '${scene.project.work}/'"\${ELSEWHERE:-no}"; until test -f '${scene.project.work}/yes' -a -f '${scene.project.work}/no'; do sleep 0.05; done`,
        up: 'true',
      }
      expectFailure(await deploy({ ...both, timeout: '2s' }), /did not end within/)
      expect(existsSync(join(scene.project.work, 'yes'))).toBe(false)
      expectSuccess(await deploy({ ...both, batch: '2' }))
    } finally {
      await other.stop()
    }
  },
  'on-failure': async () => {
    expectSuccess(await deploy())
    const bad = scene.project.commit('2', { build: ['exit 1'] })
    const result = await deploy({ 'on-failure': 'stop' })
    expectFailure(result, /`on-failure` is stop/)
    expect(result.outputs['rolled-back']).toBe('false')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(bad)
  },
  'dry-run': async () => {
    expectSuccess(await deploy({ 'dry-run': 'true' }))
    expect(existsSync(scene.project.path)).toBe(false)
  },
})
