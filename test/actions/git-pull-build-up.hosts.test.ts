// Several hosts in one step.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../bed/ports.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { runAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type GitProject, makeGitProject } from './git-project.ts'

let hosts: Sshd[]
let project: GitProject

beforeAll(async () => {
  hosts = []
  for (const host of ['127.0.0.1', '127.0.0.2', '127.0.0.3'])
    hosts.push(await startSshd({ host, env: { HOST: host } }))
  for (const sshd of hosts) sshd.addClientKey(hosts[0]?.clientKey.publicKey ?? '')
})
afterAll(async () => {
  for (const sshd of hosts ?? []) await sshd.stop()
})
beforeEach(() => {
  project = makeGitProject()
})
afterEach(() => project.remove())

const name = ({ user, host, port }: Sshd) => `${user}@${host}:${port}`
const options = (more: Record<string, string> = {}) => ({
  action: 'git-pull-build-up',
  inputs: {
    host: hosts.map(name).join('\n'),
    'private-key': hosts[0]?.clientKey.privateKey ?? '',
    'known-hosts': hosts.map((sshd) => sshd.knownHostsLines).join(''),
    path: project.path.replaceAll('/', '_'),
    repository: project.origin,
    ref: 'main',
    ...more,
  },
})
const deploy = (more: Record<string, string> = {}) => runAction(options(more))
const running = () =>
  hosts.map(({ home }) => {
    const file = join(home, project.path.replaceAll('/', '_'), 'running')
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
  })

test('one host that cannot be reached keeps all of them as they are', async () => {
  project.commit('1')
  const dead = `root@127.0.0.1:${await freePort()}`
  const result = await deploy({ host: `${hosts.map(name).join('\n')}\n${dead}` })
  expectFailure(result, `${dead}: cannot connect`)
  expect(running()).toEqual(['', '', ''])
})

const checkout = (sshd: Sshd | undefined) => join(sshd?.home ?? '', project.path.replaceAll('/', '_'))

test.each([
  [
    'whose path is no checkout',
    () => {
      rmSync(join(checkout(hosts[1]), '.git'), { recursive: true })
      return () => {}
    },
    /is not a git checkout/,
  ],
  [
    'whose lock somebody holds',
    async () => {
      const lock = join(checkout(hosts[1]), '.git/evenkeel/deploy.lock')
      const holder = spawn('flock', [lock, 'sh', '-c', 'echo held; exec sleep 600'], { detached: true })
      await once(holder.stdout, 'data')
      return () => void process.kill(-(holder.pid ?? Number.NaN))
    },
    /another deploy is at work there/,
  ],
] as const)('one host %s keeps all of them as they are', async (_what, spoil, message) => {
  project.commit('1')
  expectSuccess(await deploy())
  project.commit('2')
  const undo = await spoil()
  try {
    expectFailure(await deploy({ batch: '3' }), new RegExp(`127\\.0\\.0\\.2:\\d+[^]*${message.source}`))
    expect(running()).toEqual(['1', '1', '1'])
  } finally {
    undo()
  }
})

test('a host without git keeps all of them as they are', async () => {
  project.commit('1')
  const programs = mkdtempSync(join(tmpdir(), 'evenkeel-programs-'))
  for (const program of ['sh', 'bash', 'df', 'head', 'cat']) {
    const real = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim()
    symlinkSync(real, join(programs, program))
  }
  const bare = await startSshd({ host: '127.0.0.4', env: { PATH: programs } })
  bare.addClientKey(hosts[0]?.clientKey.publicKey ?? '')
  try {
    const result = await deploy({
      host: [...hosts, bare].map(name).join('\n'),
      'known-hosts': [...hosts, bare].map((sshd) => sshd.knownHostsLines).join(''),
    })
    expectFailure(result, /127\.0\.0\.4:\d+: the server lacks git, flock, setsid, timeout/)
    expect(running()).toEqual(['', '', ''])
  } finally {
    await bare.stop()
    rmSync(programs, { recursive: true })
  }
})

test("one host's failure stops the rest and brings the updated ones back", async () => {
  const good = project.commit('1')
  expectSuccess(await deploy())
  expect(running()).toEqual(['1', '1', '1'])
  project.commit('2', { up: ['test "$$HOST" != 127.0.0.2', 'cp built running'] })
  const result = await deploy()
  expectFailure(result, /`up` failed/, `back at ${good.slice(0, 7)}`, /not touched: \w+@127\.0\.0\.3/)
  expect(running()).toEqual(['1', '1', '1'])
  const report = JSON.parse(result.outputs['report'] ?? '[]') as { rolledBack: boolean; runs: string }[]
  expect(report.map(({ rolledBack, runs }) => [rolledBack, runs])).toEqual([
    [true, good],
    [true, good],
  ])
})

describe('in batches of two', () => {
  const batch = { batch: '2' }

  test('two hosts are at work at a time, the third after both', async () => {
    const meeting = join(dirname(project.path), 'meeting')
    mkdirSync(meeting, { recursive: true })
    const here = (host: string) => `test -f ${meeting}/${host}`
    project.commit('1', {
      build: [
        `touch ${meeting}/$$HOST`,
        // Each of the two goes on only once the other one is here, and the third has not come meanwhile.
        `until ${here('127.0.0.1')} && ${here('127.0.0.2')}; do sleep 0.05; done`,
        `test "$$HOST" = 127.0.0.3 || ! ${here('127.0.0.3')}`,
        'cp version built',
      ],
      up: [
        `test "$$HOST" != 127.0.0.3 || { ${here('up-127.0.0.1')} && ${here('up-127.0.0.2')}; }`,
        `cp built running && touch ${meeting}/up-$$HOST`,
      ],
    })
    expectSuccess(await deploy({ ...batch, timeout: '20s' }))
    expect(running()).toEqual(['1', '1', '1'])
  })

  test.each([
    ['in the first one', '127.0.0.2', [true, true], /not touched: \w+@127\.0\.0\.3/],
    ['in the second one', '127.0.0.3', [true, true, true], /`up` failed/],
  ] as const)("one host's failure %s brings all updated ones back", async (_which, bad, back, seen) => {
    const good = project.commit('1')
    expectSuccess(await deploy(batch))
    project.commit('2', { up: [`test "$$HOST" != ${bad}`, 'cp built running'] })
    const result = await deploy(batch)
    expectFailure(result, /`up` failed/, /another host failed/, `back at ${good.slice(0, 7)}`, seen)
    expect(running()).toEqual(['1', '1', '1'])
    const report = JSON.parse(result.outputs['report'] ?? '[]') as { rolledBack: boolean; runs: string }[]
    expect(report.map(({ rolledBack }) => rolledBack)).toEqual(back)
    expect(report.every(({ runs }) => runs === good)).toBe(true)
  })

  test('with on-failure: stop both of a batch end, and those that were good stay', async () => {
    project.commit('1')
    expectSuccess(await deploy(batch))
    project.commit('2', { up: ['test "$$HOST" != 127.0.0.1', 'cp built running'] })
    const result = await deploy({ ...batch, 'on-failure': 'stop' })
    expectFailure(result, /127\.0\.0\.2:\d+: \w{7} is up and stays/, /not touched: \w+@127\.0\.0\.3/)
    expect(running()).toEqual(['1', '2', '1'])
  })
})

test('with on-failure: stop the updated ones stay', async () => {
  project.commit('1')
  expectSuccess(await deploy())
  project.commit('2', { up: ['test "$$HOST" != 127.0.0.2', 'cp built running'] })
  const result = await deploy({ 'on-failure': 'stop' })
  expectFailure(result, /127\.0\.0\.1:\d+: \w{7} is up and stays/, /not touched: \w+@127\.0\.0\.3/)
  expect(running()).toEqual(['2', '1', '1'])
})

test('a cancel in the middle brings the hosts that were done back too', async () => {
  project.commit('1')
  expectSuccess(await deploy())
  project.commit('2', {
    build: ['if test "$$HOST" = 127.0.0.2; then echo under way; sleep 600; fi', 'cp version built'],
  })
  const result = await runAction({
    ...options(),
    during: async (run) => {
      await run.waitForLog(/\| under way/)
      void run.cancel()
    },
  })
  expect(result.conclusion).toBe('cancelled')
  expect(running()).toEqual(['1', '1', '1'])
})
