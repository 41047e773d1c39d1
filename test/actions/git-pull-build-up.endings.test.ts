// Ends in the late phases: while health is asked, on the way back, and in the settle step.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { until } from '../bed/process.ts'
import { startAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gitScene } from './git-scene.ts'

const scene = gitScene()
let good: string

/** The build of the first commit waits for the file `go` once `back` is there: it is on its way back then. */
const SLOW_BACK = [
  'if test -f back; then touch under-way; until test -f go; do sleep 0.05; done; fi',
  'cp version built',
]

beforeEach(async () => {
  good = scene.project.commit('1', { build: SLOW_BACK })
  expectSuccess(await scene.deploy())
})

const file = (name: string) => join(scene.project.path, name)
const isOnItsWayBack = () => until('it goes back', () => existsSync(file('under-way')), 30_000)
const go = () => writeFileSync(file('go'), '')
const results = () => scene.project.history().map(({ result, runs }) => [result, runs])

/** A deploy that is polling the health of its commit, which is good once `go` is there. */
async function pollingHealth() {
  const sha = scene.project.commit('2')
  const health = { 'health-command': 'test -f go', 'health-timeout': '30s' }
  const run = startAction(scene.options(health))
  await run.waitForLog(/health: exit code 1/)
  return { sha, health, run }
}

describe('kill -9 while health is asked', () => {
  test('the settle step asks on and keeps what turns out healthy; a further run has nothing to do', async () => {
    const { sha, health, run } = await pollingHealth()
    run.kill9()
    go()
    const result = await run.result
    expect(result.conclusion).toBe('failure')
    expect(result.log).toContain(`now runs: ${sha.slice(0, 7)}`)
    expect(results()).toEqual([
      ['ok', good],
      ['ok', sha],
    ])
    const again = await scene.deploy(health)
    expectSuccess(again)
    expect(again.outputs).toMatchObject({ sha, 'previous-sha': sha, changed: 'false' })
  })

  test('and no settle step either: the next run says so and brings the same commit to its end', async () => {
    const { sha, health, run } = await pollingHealth()
    await run.lostRunner()
    go()
    const again = await scene.deploy({ ...health, 'lock-wait': '20s' })
    expectSuccess(again)
    expect(again.log).toMatch(/was cut off: its commands have ended well/)
    expect(again.outputs).toMatchObject({ sha, changed: 'true' })
    expect(results()).toEqual([
      ['ok', good],
      ['interrupted', sha],
      ['ok', sha],
    ])
    expect(scene.project.read('running')).toBe('2\n')
  })

  test('where it stays unwell the next run takes the way back, and says that this is unwell, too', async () => {
    const { health, run } = await pollingHealth()
    await run.lostRunner()
    const again = await scene.deploy({ ...health, 'health-timeout': '500ms', 'lock-wait': '20s' })
    expect(again.conclusion).toBe('failure')
    expect(again.outputs['rolled-back']).toBe('false')
    expect(again.log).toContain(`the way back to ${good.slice(0, 7)} failed too`)
    go()
    expectSuccess(await scene.deploy({ ...health, ref: good }))
    expect(scene.project.read('running')).toBe('1\n')
  })
})

test('a runner that stood still while another deployed cannot act any more', async () => {
  scene.project.commit('2')
  const stopped = startAction(scene.options({ 'health-command': 'test -f go', 'health-timeout': '3s' }))
  await stopped.waitForLog(/health: exit code 1/)
  process.kill(stopped.pid, 'SIGSTOP')
  // As the server does itself once it has heard nothing for long enough.
  process.kill(Number(scene.project.read('.git/evenkeel/deploy.pid')))
  const third = scene.project.commit('3')
  const other = await scene.deploy({ 'lock-wait': '20s' })
  process.kill(stopped.pid, 'SIGCONT')
  const result = await stopped.result
  expectSuccess(other)
  expectFailure(result, /a later run has taken over/)
  expect(scene.project.read('running')).toBe('3\n')
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(third)
  expect(scene.project.history().at(-1)).toMatchObject({ sha: third, result: 'ok', runs: third })
})

/** A deploy whose build failed and that is on its way back, which waits for `go`. */
async function goingBack() {
  const sha = scene.project.commit('2', { build: ['touch back', 'exit 1'] })
  const run = startAction(scene.options())
  await isOnItsWayBack()
  return { sha, run }
}

/** The next deploy finds a way back that goes on, waits for its end, and succeeds. */
async function deployAfterIt(): Promise<string> {
  const sha = scene.project.commit('3')
  const next = startAction(scene.options({ 'lock-wait': '20s' }))
  await next.waitForLog(/an earlier deploy was cut off; its work goes on there/)
  go()
  const result = await next.result
  expectSuccess(result)
  expect(result.outputs).toMatchObject({ sha, 'previous-sha': good })
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(sha)
  return sha
}

describe('a cancel on the way back', () => {
  test('does not stop it: the settle step waits for its end', async () => {
    const { sha, run } = await goingBack()
    void run.cancel()
    await run.waitForLog(/SIGINT: stopping/)
    go()
    const result = await run.result
    expect(result.conclusion).toBe('cancelled')
    expect(result.log).toContain(`now runs: ${good.slice(0, 7)}`)
    expect(scene.project.read('running')).toBe('1\n')
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    expect(scene.project.history().at(-1)).toMatchObject({ sha, result: 'failed', runs: good })
    expect(result.orphans).toEqual([])
  })

  test('on a runner that dies with it: the next run waits for its end and deploys', async () => {
    const { run } = await goingBack()
    void run.cancelThenLost()
    await run.waitForLog(/SIGINT: stopping/)
    await run.result
    const third = await deployAfterIt()
    expect(results()).toEqual([
      ['ok', good],
      ['interrupted', good],
      ['ok', third],
    ])
  })
})

describe('a cancel of the settle step', () => {
  /** The main step is gone in the middle of `up`, and the settle step is on its way back. */
  async function settling() {
    scene.project.commit('2', { up: ['touch back', 'echo under way; sleep 600'] })
    const run = startAction(scene.options())
    await run.waitForLog(/\| under way/)
    run.kill9()
    await isOnItsWayBack()
    return run
  }

  test('by the job does not reach it: it comes to its end', async () => {
    const run = await settling()
    void run.cancel()
    go()
    const result = await run.result
    expect(result.conclusion).toBe('cancelled')
    expect(result.steps[1]?.sent).toEqual([])
    expect(result.log).toContain(`now runs: ${good.slice(0, 7)}`)
    expect(scene.project.history().at(-1)).toMatchObject({ result: 'failed', runs: good })
  })

  test.each([
    'SIGINT',
    'SIGTERM',
  ] as const)('by %s leaves the way back at work, and the next run takes it from there', async (signal) => {
    const run = await settling()
    process.kill(run.pid, signal)
    const result = await run.result
    expect(result.log).toMatch(/cancelled before everything was put right: run the job again/)
    expect(result.orphans).toEqual([])
    await deployAfterIt()
    expect(scene.project.read('running')).toBe('3\n')
  })
})
