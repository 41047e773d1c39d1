// One test per input of an action, and a test that no input lacks one.
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readActionFile, repositoryRoot } from './action-file.ts'
import type { ActionResult } from './action-result.ts'

/** What to do for one input; it must fail if the action ignored that input. */
export type InputCases = Readonly<Record<string, () => Promise<void>>>

/** Registers the tests. The keys must be exactly the inputs of actions/<name>/action.yml. */
export function describeInputs(action: string, cases: InputCases): void {
  describe(`each input of ${action} counts`, () => {
    test('there is a case for every input and no other', () => {
      const { inputs } = readActionFile(join(repositoryRoot, 'actions', action))
      expect(Object.keys(cases).sort()).toEqual(Object.keys(inputs ?? {}).sort())
    })
    for (const [input, work] of Object.entries(cases)) test(input, work)
  })
}

/** The errors that a run has shown, without the echo of its inputs in the log. */
export function errorsOf(result: ActionResult): string {
  return result.annotations
    .filter(({ level }) => level === 'error')
    .map(({ message }) => message)
    .join('\n')
}

/** A run that must fail, with an error that matches each pattern. */
export function expectFailure(result: ActionResult, ...patterns: (RegExp | string)[]): void {
  expect(result.conclusion, result.log).toBe('failure')
  for (const pattern of patterns) {
    if (typeof pattern === 'string') expect(errorsOf(result)).toContain(pattern)
    else expect(errorsOf(result)).toMatch(pattern)
  }
}

/** A run that must succeed; shows the log where it does not. */
export function expectSuccess(result: ActionResult): void {
  expect(result.conclusion, result.log).toBe('success')
}
