import { randomUUID } from 'node:crypto'
import { appendFileSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as core from '@actions/core'
import { type Context, systemClock } from '../context.ts'
import { Cancelled, describeError, Failure } from '../failure.ts'
import { consoleLog, inert } from './console-log.ts'
import { type GitHubContext, readGitHubContext } from './github-context.ts'
import { InputReader, parseInputs } from './input-reader.ts'
import { failureMarkdown, writeSummary } from './summary.ts'

/** What an action's phases are given. */
export interface Run {
  readonly context: Context
  readonly github: GitHubContext
  /** Reads and checks the inputs; throws one `Failure` that names all that are wrong. */
  inputs<T>(define: (read: InputReader) => T): T
  output(name: string, value: string | number | boolean): void
  /** Notes where things stand, for the settle phase. JSON; replaces what was noted before; never a secret. */
  saveState(state: unknown): void
}

export interface Action {
  /** The work. */
  main(run: Run): Promise<void>
  /**
   * Puts right what a cancelled or crashed `main` left behind. Gets the last saved state; is not called when none
   * was saved or when `main` came to its end by itself. Its failure is a warning: main's own is what counts.
   */
  settle?(run: Run, state: unknown): Promise<void>
}

/** Entry of every bundle: `index.js main` or `index.js settle`. Ends the process. */
export async function runAction(action: Action): Promise<never> {
  const abort = new AbortController()
  const isSettling = process.argv[2] === 'settle'
  // Main has no state yet: what a workflow calls STATE is not ours.
  const run = makeRun(abort.signal, new StateFile(isSettling ? process.env['STATE'] : undefined))
  const phase = isSettling ? settlePhase : mainPhase
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (!abort.signal.aborted) core.info(`${signal}: stopping as soon as it is safe ...`)
      abort.abort(new Cancelled('cancelled'))
    })
  }
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error) => {
      report(error)
      process.exit(1)
    })
  }
  // Node ends with 0 where nothing is left to wait for: what hangs on a promise would count as done.
  process.on('beforeExit', () => {
    report(new Error('the work came to a standstill before its end'))
    process.exit(1)
  })
  await phase(action, run)
  // Sockets that a server keeps open must not keep the step running.
  process.exit(process.exitCode ?? 0)
}

interface RunWithState extends Run {
  readonly state: StateFile
}

async function mainPhase(action: Action, run: RunWithState): Promise<void> {
  if (action.settle) {
    run.state.create()
    core.setOutput('state', run.state.path)
  }
  try {
    await action.main(run)
    run.state.finish()
  } catch (error) {
    report(error)
    process.exitCode = 1
    if (error instanceof Failure) await writeSummary(failureMarkdown(error))
    // A failure of our own has left things as its text says; anything else is for the settle phase to look at.
    if (error instanceof Failure && !(error instanceof Cancelled) && !error.details.unsettled) {
      run.state.finish()
    }
  }
}

async function settlePhase(action: Action, run: RunWithState): Promise<void> {
  const unsettled = run.state.unsettled()
  if (unsettled === undefined || action.settle === undefined) return
  try {
    await action.settle(run, unsettled)
  } catch (error) {
    const text =
      error instanceof Cancelled
        ? 'cancelled before everything was put right: run the job again, it looks at the state of things first'
        : describeError(error)
    core.warning(inertText(text), { title: 'Could not be put right' })
  }
}

function report(error: unknown): void {
  if (error instanceof Failure) {
    const title = error instanceof Cancelled ? 'Cancelled' : error.message
    core.error(inertText(error.describe()), { title: inert(title) })
  } else {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    core.error(inertText(`unexpected error, a defect of this action:\n${stack}`))
  }
}

function inertText(text: string): string {
  return text.split('\n').map(inert).join('\n')
}

function makeRun(signal: AbortSignal, state: StateFile): RunWithState {
  const github = readGitHubContext(process.env)
  return {
    context: { log: consoleLog, clock: systemClock, signal },
    github,
    state,
    inputs(define) {
      const reader = new InputReader(readInputs(), core.setSecret)
      const inputs = define(reader)
      reader.finish()
      return inputs
    },
    output: (name, value) => core.setOutput(name, value),
    saveState: (value) => state.save(value),
  }
}

function readInputs(): Record<string, string> {
  const inputs = parseInputs(process.env['INPUTS'])
  if (inputs !== undefined) return inputs
  throw new Failure('the variable INPUTS does not hold the inputs', {
    hint: 'run this bundle through its action.yml, which hands the inputs over, not by itself',
  })
}

/**
 * The file by which main tells the settle step where things stand. It outlives a killed process. Each line replaces those
 * before it: a line more costs no wait for the disk, which a file renamed over another does on ext4.
 */
class StateFile {
  readonly path: string
  readonly #given: boolean

  constructor(given: string | undefined) {
    this.#given = given !== undefined && given !== ''
    const folder = process.env['RUNNER_TEMP'] || tmpdir()
    this.path = this.#given ? (given as string) : join(folder, `evenkeel-${randomUUID()}.json`)
  }

  create(): void {
    this.#write({ finished: false })
  }

  save(state: unknown): void {
    this.#write({ finished: false, state })
  }

  finish(): void {
    this.#write({ finished: true })
  }

  /** The last state of a main that did not come to its end; undefined when there is nothing to settle. */
  unsettled(): unknown {
    if (!this.#given) return undefined
    const saved = readFileSync(this.path, 'utf8').split('\n').flatMap(savedState)
    const last = saved.at(-1)
    return last === undefined || last.finished ? undefined : last.state
  }

  #write(content: SavedState): void {
    // A newline before it too: what was not written to its end must not spoil what follows.
    appendFileSync(this.path, `\n${JSON.stringify(content)}\n`, { mode: 0o600 })
  }
}

interface SavedState {
  readonly finished: boolean
  readonly state?: unknown
}

/** None where a line was not written to its end. */
function savedState(line: string): SavedState[] {
  try {
    return [JSON.parse(line) as SavedState]
  } catch {
    return []
  }
}
