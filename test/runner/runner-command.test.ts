import { expect, test } from 'vitest'
import { runOnRunner } from '../../src/runner/runner-command.ts'
import { recordingContext } from '../ssh/recording-context.ts'

const run = async (command: string, variables: Record<string, string> = {}) => {
  const context = recordingContext()
  await runOnRunner('verify', command, variables, context)
  return context.lines
}

test('values come in the environment, lines go to the log', async () => {
  expect(await run('echo "one $X"\necho two >&2', { X: 'a  b' })).toEqual(
    expect.arrayContaining(['one a  b', 'two']),
  )
})

test('stdin is empty', async () => {
  expect(await run('cat; echo end')).toEqual(['end'])
})

test('a failing line ends it, in a pipe too', async () => {
  await expect(run('echo first\nfalse | cat\necho never')).rejects.toMatchObject({
    message: '`verify` failed with exit code 1',
    details: { seen: 'first' },
  })
})

test('commands that end at once are no failure, many of them at a time', async () => {
  await Promise.all(Array.from({ length: 40 }, () => run(':')))
})
