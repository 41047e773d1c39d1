import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type ActionRun, runAction } from '../harness/action-run.ts'
import { errorsOf, expectFailure, expectSuccess } from '../harness/input-cases.ts'

const action = join(import.meta.dirname, 'fixtures/phases')
const run = (inputs: Record<string, string>, during?: (run: ActionRun) => Promise<unknown>) =>
  runAction({ action, inputs, ...(during === undefined ? {} : { during }) })

test('what came to its end needs no settling', async () => {
  const result = await run({})
  expectSuccess(result)
  expect(result.outputs['told']).toBe('first line\nsecond line')
  expect(result.log).not.toContain('settling')
})

test('nor does what failed with words of its own, which are shown whole and as text', async () => {
  const result = await run({ ending: 'failure' })
  expectFailure(result, 'web1: no way\nWhat to do: look there')
  expect(result.log).not.toContain('settling')
  expect(result.annotations.filter(({ message }) => message === 'pwned')).toEqual([])
})

test.each([
  'defect',
  'defect aside',
  'standstill',
])('a %s is called one, and the last state is settled', async (ending) => {
  const result = await run({ ending })
  expectFailure(result, /a defect of this action:\n(Type)?Error: /)
  expect(result.log).toContain(`settling {"step":2,"ending":"${ending}"}`)
})

test('there is nothing to settle where no state was saved', async () => {
  const result = await run({ ending: 'failure before any state' })
  expectFailure(result, 'out of luck')
  expect(result.log).not.toContain('settling')
})

test('a cancel ends the work by itself, and the last state is settled', async () => {
  const result = await run({ ending: 'long' }, async (handle) => {
    await handle.waitForLog(/^waiting$/m)
    void handle.cancel()
  })
  expect(result.conclusion).toBe('cancelled')
  expect(result.steps[0]).toMatchObject({ sent: ['SIGINT'], exitCode: 1 })
  expect(result.log).toContain('settling {"step":2,"ending":"long"}')
})

test('a killed process is settled from what it had saved', async () => {
  const result = await run({ ending: 'long' }, async (handle) => {
    await handle.waitForLog(/^waiting$/m)
    handle.kill9()
  })
  expect(result.steps[0]?.signal).toBe('SIGKILL')
  expect(result.log).toContain('settling {"step":2,"ending":"long"}')
})

test('what a workflow calls STATE is not touched', async () => {
  const own = join(mkdtempSync(join(tmpdir(), 'evenkeel-state-')), 'prod.json')
  onTestFinished(() => rmSync(join(own, '..'), { recursive: true }))
  writeFileSync(own, '{"my":"own file"}')
  expectSuccess(await runAction({ action, inputs: {}, env: { STATE: own } }))
  expect(readFileSync(own, 'utf8')).toBe('{"my":"own file"}')
})

test('what was not saved to its end does not count', async () => {
  const result = await run({ ending: 'killed while it saves' })
  expect(result.steps[0]?.signal).toBe('SIGKILL')
  expect(result.log).toContain('settling {"step":2,"ending":"killed while it saves"}')
})

test('a settling that fails is a warning', async () => {
  const result = await run({ ending: 'settle fails' }, async (handle) => {
    await handle.waitForLog(/^waiting$/m)
    handle.kill9()
  })
  const warnings = result.annotations.filter(({ level }) => level === 'warning')
  expect(warnings).toMatchObject([{ message: 'web1 is not there' }])
  expect(result.steps[1]?.outcome).toBe('success')
})

test('what a server keeps open does not keep the step running', async () => {
  expectSuccess(await run({ ending: 'open socket' }))
})

test('a secret is masked before anything can show it', async () => {
  const result = await run({ secret: 'hunter2hunter2' })
  expectSuccess(result)
  expect(result.masks).toContain('hunter2hunter2')
  expect(result.log).toContain('the secret is ***')
})

test('bad inputs leave nothing to settle', async () => {
  const result = await run({ ending: '', endin: 'x' })
  expectFailure(result, '`ending` is required', 'did you mean `ending`?')
  expect(errorsOf(result)).not.toContain('defect')
  expect(result.log).not.toContain('settling')
})
