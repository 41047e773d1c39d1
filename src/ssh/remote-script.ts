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

/**
 * A command that holds its script: it needs no input, which saves a round trip, but the process list shows it, so that
 * nothing secret may be in it. Encoded so that it means the same to every login shell. Pure.
 */
export function openScript(text: string): string {
  const bytes = Buffer.from(`set -e\nexec </dev/null\n${text}`, 'utf8')
  return `exec sh -c 'eval "$(printf %b "$1")"' sh ${encodedForPrintf(bytes)}`
}

/** A word that means the same to every login shell, and these bytes to the %b of printf. Pure. */
export function encodedForPrintf(bytes: Buffer): string {
  const encoded = Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte)
    // Between single quotes, a backslash means something to fish, an exclamation mark and a newline to csh.
    if (/[ -~]/.test(character) && !/['\\!]/.test(character)) return character
    return character === '\n' ? '\\n' : `\\0${byte.toString(8).padStart(3, '0')}`
  })
  return `'${encoded.join('')}'`
}

function shellName(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new TypeError(`'${name}' is not an environment variable name`)
  return name
}
