import { exec } from '@actions/exec'
import type { Context } from '../context.ts'
import { cancelled } from '../context.ts'
import { Failure } from '../failure.ts'

/** Lines of the output that an error shows. */
const TAIL_LINES = 20
/** What the variables of the action itself hold (credentials among them) is none of the command's business. */
const OWN_VARIABLES = new Set(['INPUTS', 'STATE'])

/**
 * Runs a command of the workflow on this machine by `bash -eo pipefail -c`, stdin empty. What it prints goes to the
 * log as text. On a cancel its whole process group is killed. Throws unless it ends with 0.
 */
export async function runOnRunner(
  input: string,
  command: string,
  variables: Readonly<Record<string, string>>,
  { log, signal }: Context,
): Promise<void> {
  const env = programEnvironment()
  let group = 0
  const tail: string[] = []
  const onLine = (line: string) => {
    tail.push(line)
    if (tail.length > TAIL_LINES) tail.shift()
    log.info(line)
  }
  const stop = () => {
    try {
      if (group > 0) process.kill(-group, 'SIGKILL')
    } catch {
      // It has just ended.
    }
  }
  signal.addEventListener('abort', stop)
  try {
    // The first line is the process id, which @actions/exec does not tell.
    const wrapper = 'echo "$$"; exec setsid bash -eo pipefail -c "$0" </dev/null'
    const code = await exec('bash', ['-c', wrapper, command], {
      env: { ...env, ...variables },
      silent: true,
      ignoreReturnCode: true,
      // A process that went on in the background may hold the output open.
      delay: 1_000,
      listeners: {
        stdline: (line) => {
          if (group > 0) return onLine(line)
          group = Number(line)
          if (signal.aborted) stop()
        },
        errline: onLine,
      },
    })
    if (signal.aborted) throw cancelled(signal)
    if (code === 0) return
    throw new Failure(`\`${input}\` failed with exit code ${code}`, {
      seen: tail.join('\n  ') || 'it printed nothing',
    })
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** The environment for programs that are started here: all of it but what is the action's own. */
export function programEnvironment(): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !OWN_VARIABLES.has(name)) env[name] = value
  }
  return env
}
