import { quote } from './quote.ts'

export interface ScriptOptions {
  /** Directory to run in; the script fails when it cannot be entered. */
  readonly cwd?: string
  /** Exported to the script. Names must be shell names. */
  readonly env?: Readonly<Record<string, string>>
}

/** Constant, so that it means the same to every login shell and shows nothing in the process list. */
export const READ_AND_RUN = `exec sh -c 'eval "$(cat)"'`

/** The command to execute and the text for its standard input. Pure. */
export function remoteScript(
  text: string,
  { cwd, env = {} }: ScriptOptions,
): { command: string; stdin: string } {
  const lines = ['set -e', 'exec </dev/null']
  for (const [name, value] of Object.entries(env)) lines.push(`export ${shellName(name)}=${quote(value)}`)
  // `--` and CDPATH: a directory that begins with a dash, or is relative, means itself.
  if (cwd !== undefined) lines.push(`CDPATH= cd -- ${quote(cwd)}`)
  return { command: READ_AND_RUN, stdin: `${lines.join('\n')}\n${text}\n` }
}

function shellName(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new TypeError(`'${name}' is not an environment variable name`)
  return name
}
