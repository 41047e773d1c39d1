// Cancels, killed runners, cut connections and two deploys at once.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Sshd } from '../bed/sshd.ts'
import { type ActionRun, runAction, startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gitScene } from './git-scene.ts'

const scene = gitScene()
const { options, deploy } = scene
let good: string

beforeEach(async () => {
  good = scene.project.commit('1')
  expectSuccess(await deploy())
})

/** Starts long work whose processes note themselves in files: one in the group, one that has left it. */
const LONG = ['sleep 600 & echo $$! >in-group', 'setsid sleep 600 & echo $$! >apart; echo under way; wait']
const isAlive = (file: string) => existsSync(`/proc/${scene.project.read(file).trim() || 'none'}`)

async function interrupted(
  more: Record<string, string>,
  interrupt: (run: ActionRun) => unknown,
  pattern = /\| under way/,
) {
  return await runAction({
    ...options(more),
    during: async (run) => {
      await run.waitForLog(pattern)
      await interrupt(run)
    },
  })
}

describe('a cancel', () => {
  test('during build ends all of it, the checkout goes back and what was up runs on', async () => {
    const sha = scene.project.commit('2', { build: LONG })
    const result = await interrupted({}, (run) => void run.cancel())
    expect(result.conclusion).toBe('cancelled')
    expect(isAlive('in-group')).toBe(false)
    expect(isAlive('apart')).toBe(false)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    expect(scene.project.read('running')).toBe('1\n')
    expect(scene.project.history().at(-1)).toMatchObject({ sha, result: 'cancelled', runs: good })
    expect(result.log).toContain(`${good.slice(0, 7)} runs on as before, and its files are checked out again`)
    expect(result.steps[0]?.sent).toEqual(['SIGINT'])
    expect(result.orphans).toEqual([])

    scene.project.commit('3')
    expectSuccess(await deploy())
    expect(scene.project.read('running')).toBe('3\n')
  })

  test('during up goes back to the commit before', async () => {
    scene.project.commit('2', { up: ['cp built running', ...LONG] })
    const result = await interrupted({}, (run) => void run.cancel())
    expect(result.conclusion).toBe('cancelled')
    expect(isAlive('in-group')).toBe(false)
    expect(isAlive('apart')).toBe(true)
    process.kill(Number(scene.project.read('apart')))
    expect(scene.project.read('running')).toBe('1\n')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    expect(result.log).toContain(`now runs: ${good.slice(0, 7)}`)
  })

  test('during up with on-failure: stop lets it come to its end', async () => {
    const sha = scene.project.commit('2', {
      up: ['echo under way; until test -f go; do sleep 0.05; done', 'cp built running'],
    })
    const result = await interrupted({ 'on-failure': 'stop' }, async (run) => {
      void run.cancel()
      await run.waitForLog(/waiting for `up` to end/)
      writeFileSync(join(scene.project.path, 'go'), '')
    })
    expect(result.conclusion).toBe('cancelled')
    expect(scene.project.read('running')).toBe('2\n')
    expect(result.log).toContain(`now runs: ${sha.slice(0, 7)}`)
    expect(scene.project.history().at(-1)).toMatchObject({ sha, result: 'ok', runs: sha })
  })

  test('while health is asked keeps a commit that turns out healthy', async () => {
    const sha = scene.project.commit('2')
    const health = { 'health-command': 'test -f go', 'health-timeout': '20s' }
    const interrupt = async (run: ActionRun) => {
      void run.cancel()
      await run.waitForLog(/SIGINT: stopping/)
      writeFileSync(join(scene.project.path, 'go'), '')
    }
    const result = await interrupted(health, interrupt, /health: exit code 1/)
    expect(result.conclusion).toBe('cancelled')
    expect(result.log).toContain(`now runs: ${sha.slice(0, 7)}`)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(sha)
    expect(scene.project.history().at(-1)).toMatchObject({ sha, result: 'ok', runs: sha })
  })

  test('while health is asked goes back from a commit that is not healthy', async () => {
    scene.project.commit('2')
    const health = { 'health-command': 'test "$(cat running)" = 1', 'health-timeout': '1s' }
    const result = await interrupted(health, (run) => void run.cancel(), /health: exit code 1/)
    expect(result.conclusion).toBe('cancelled')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    expect(result.log).toContain(`now runs: ${good.slice(0, 7)}`)
  })
})

describe('kill -9 of the bundle', () => {
  test('during build: the settle step ends the build, and the next run deploys', async () => {
    scene.project.commit('2', { build: LONG })
    const result = await interrupted({}, (run) => run.kill9())
    expect(result.conclusion).toBe('failure')
    expect(isAlive('in-group')).toBe(false)
    expect(isAlive('apart')).toBe(false)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    const third = scene.project.commit('3')
    expectSuccess(await deploy())
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
  })

  test('during up: the settle step goes back', async () => {
    scene.project.commit('2', { up: ['cp built running', 'echo under way; sleep 600'] })
    const result = await interrupted({}, (run) => run.kill9())
    expect(result.log).toContain(`now runs: ${good.slice(0, 7)}`)
    expect(scene.project.read('running')).toBe('1\n')
    expect(scene.project.history().at(-1)).toMatchObject({ result: 'failed', runs: good })
  })

  test('on the way back: the settle step goes on with it', async () => {
    scene.renew()
    const slow = 'if test -f back; then echo under way; touch seen; until test -f go; do sleep 0.05; done; fi'
    good = scene.project.commit('1', { build: [slow, 'cp version built'] })
    expectSuccess(await deploy())
    scene.project.commit('2', { build: ['touch back', 'exit 1'] })
    const result = await interrupted({}, (run) => {
      run.kill9()
      writeFileSync(join(scene.project.path, 'go'), '')
    })
    expect(result.log).toContain(`now runs: ${good.slice(0, 7)}`)
    expect(scene.project.read('built')).toBe('1\n')
    expect(scene.project.history().at(-1)).toMatchObject({ result: 'failed', runs: good })
  })
})

test('a runner that is gone for good: the next run ends its build and deploys', async () => {
  scene.project.commit('2', { build: LONG })
  const lost = startAction(options())
  await lost.waitForLog(/\| under way/)
  await lost.lostRunner()
  expect(isAlive('in-group')).toBe(true)
  const third = scene.project.commit('3')
  // As if nothing had been heard of its runner for a while.
  writeFileSync(join(scene.project.path, '.git/evenkeel/beat'), '1000\n')
  const result = await deploy()
  expectSuccess(result)
  expect(result.log).toMatch(/was cut off: build: cancelled/)
  expect(isAlive('in-group')).toBe(false)
  expect(isAlive('apart')).toBe(false)
  expect(scene.project.read('running')).toBe('3\n')
  expect(result.outputs).toMatchObject({ sha: third, 'previous-sha': good })
  expect(scene.project.history().map((entry) => entry.result)).toEqual(['ok', 'interrupted', 'ok'])
})

test('two deploys at once: the second is refused with the holder, or waits', async () => {
  scene.project.commit('2', {
    build: ['echo under way; until test -f go; do sleep 0.05; done', 'cp version built'],
  })
  const first = startAction(options())
  await first.waitForLog(/\| under way/)
  expectFailure(
    await deploy(),
    /another deploy is at work there/,
    /held|by https:\/\/github\.com\/octo-org\/site\/actions\/runs\/1234567890 for/,
  )
  const waiting = startAction(options({ 'lock-wait': '30s' }))
  await waiting.waitForLog(/the lock is held by .*waiting for it/)
  writeFileSync(join(scene.project.path, 'go'), '')
  expectSuccess(await first.result)
  const second = await waiting.result
  expectSuccess(second)
  expect(second.outputs['changed']).toBe('false')
})

const LINES = [
  'n=0; while [ $$n -lt 300 ]; do n=$$((n + 1)); echo "line $$n of the build"; sleep 0.01; done',
  'cp version built',
]
const linesSeen = ({ log }: { log: string }) =>
  [...log.matchAll(/line (\d+) of the build/g)].map((match) => Number(match[1]))
const ALL_LINES = Array.from({ length: 300 }, (_, index) => index + 1)
const through = (proxy: Proxy) =>
  options({
    host: `${scene.sshd.user}@${scene.sshd.host}:${proxy.port}`,
    'known-hosts': scene.sshd.knownHostsLines.replaceAll(`:${scene.sshd.port} `, `:${proxy.port} `),
  })

test('a connection that is cut in the middle is made again, and no line is lost or doubled', async () => {
  const proxy = await startProxy(scene.sshd)
  // What a login shell prints of its own comes with each connection.
  writeFileSync(join(scene.sshd.home, '.bashrc'), "printf 'welcome, ünwelcome '\n")
  try {
    scene.project.commit('2', { build: LINES })
    const result = await runAction({
      ...through(proxy),
      during: async (run) => {
        await run.waitForLog(/line 50 of/)
        proxy.cut()
        await run.waitForLog(/connected again/)
        await run.waitForLog(/line 150 of/)
        proxy.cut()
      },
    })
    expectSuccess(result)
    expect(result.log).not.toContain('welcome')
    expect(linesSeen(result)).toEqual(ALL_LINES)
    expect(scene.project.read('running')).toBe('2\n')
    expect(readdirSync(join(scene.project.path, '.git/evenkeel/units'))).toHaveLength(2)
    expect(readFileSync(result.outputs['log-path'] ?? '', 'utf8')).toContain('line 300 of')
  } finally {
    proxy.stop()
    rmSync(join(scene.sshd.home, '.bashrc'))
  }
})

test('a link that falls silent without an end is noticed, and the output goes on as after a cut', async () => {
  const proxy = await startProxy(scene.sshd)
  try {
    scene.project.commit('2', { build: [...LINES, 'until test -f go; do sleep 0.05; done'] })
    const result = await runAction({
      ...through(proxy),
      during: async (run) => {
        await run.waitForLog(/line 50 of/)
        proxy.freeze()
        await run.waitForLog(/the SSH connection broke/)
        await run.waitForLog(/line 300 of/)
        // The lock is held again: nobody else gets in.
        expectFailure(await deploy(), /another deploy is at work there/)
        writeFileSync(join(scene.project.path, 'go'), '')
      },
    })
    expectSuccess(result)
    expect(linesSeen(result)).toEqual(ALL_LINES)
    expect(scene.project.read('running')).toBe('2\n')
    expect(scene.project.history().map((entry) => entry.result)).toEqual(['ok', 'ok'])
  } finally {
    proxy.stop()
  }
})

interface Proxy {
  port: number
  /** Ends the connections that there are. */
  cut(): void
  /** Carries nothing more on the connections that there are, and lets neither side know. */
  freeze(): void
  stop(): void
}

/** A TCP proxy whose connections can be cut, or fall silent. */
async function startProxy({ host, port }: Sshd): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((near) => {
    const far = dial({ host, port })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => {})
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    freeze() {
      for (const socket of sockets) {
        socket.unpipe()
        socket.removeAllListeners('close')
        socket.pause()
        socket.once('close', () => sockets.delete(socket))
      }
    },
    stop() {
      server.close()
      cut()
    },
  }
}
