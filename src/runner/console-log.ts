import * as core from '@actions/core'
import type { Log } from '../context.ts'

/** The step's log. Lines may come from servers, so none of them can be a workflow command. */
export const consoleLog: Log = {
  info: (line) => core.info(inert(line)),
  warn: (line) => core.warning(inert(line)),
  debug: (line) => core.debug(inert(line)),
}

/**
 * One line that the runner takes as text: `::name::` at its start and `##[name]` anywhere in it are commands
 * (actions/runner, ActionCommand.cs), as is a new line inside. White space before `::` is .NET's, which knows U+0085.
 */
export function inert(line: string): string {
  return line
    .replaceAll(/[\r\n]+/g, ' ')
    .replace(/^([\s\u0085]*):(?=:)/, '$1\u200b:')
    .replaceAll('##[', '##\u200b[')
}

/** Runs work inside a fold of the log. */
export async function inGroup<T>(title: string, work: () => Promise<T>): Promise<T> {
  core.startGroup(inert(title))
  try {
    return await work()
  } finally {
    core.endGroup()
  }
}
