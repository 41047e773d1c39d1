// Runs an action.yml as GitHub's runner runs a composite action in a job: startAction() and runAction().
import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as setTimer } from 'node:timers/promises'
import { type ActionFile, type ActionStep, actionFolder, readActionFile } from './action-file.ts'
import type { ActionResult, Conclusion, StepResult } from './action-result.ts'
import { type Contexts, fill, holds, type Plain, type Status } from './expressions.ts'
import { Job, type JobOptions } from './job.ts'
import { takeFiles, takeSummary } from './step-files.ts'
import { StepLog } from './step-log.ts'
import { type CancelTimings, kill, runnerTimings, StepProcess, tracked } from './step-process.ts'

export type { ActionResult, Conclusion, StepResult } from './action-result.ts'

export interface ActionOptions extends JobOptions {
  /** A folder of actions/, or the path of a folder with an action.yml (with a `/` in it). */
  action: string
  inputs?: Record<string, string>
  /** Values hidden from the start, as a workflow's secrets are. */
  secrets?: Record<string, string>
  timings?: Partial<CancelTimings>
  /** When the run counts as hung, in ms (default 60,000): it is ended and fails with its log. */
  deadline?: number
  onLine?: (line: string) => void
}

/** Those running, so that none outlives the test's own process. */
const running = new Set<ActionRun>()
process.on('exit', () => {
  for (const run of running) run.abandon()
})

export class ActionRun {
  /** Rejects when the action cannot be run at all or hangs, with the log; an action that fails resolves. */
  readonly result: Promise<ActionResult>
  readonly #job: Job
  readonly #log: StepLog
  readonly #file: ActionFile
  readonly #inputs: Record<string, string>
  readonly #timings: CancelTimings
  readonly #over = new AbortController()
  readonly #steps: StepResult[] = []
  readonly #startedAt = performance.now()
  #summary = ''
  #cancelled = false
  #lost = false
  #lostAfterStep = false
  #current: { process: StepProcess; cancellable: () => boolean } | undefined

  constructor(options: ActionOptions) {
    const folder = actionFolder(options.action)
    this.#file = readActionFile(folder)
    this.#timings = { ...runnerTimings, ...options.timings }
    this.#log = new StepLog({ debug: options.debug ?? false, onLine: options.onLine })
    this.#job = new Job(folder, options)
    running.add(this)
    for (const secret of [String(this.#job.github['token']), ...Object.values(options.secrets ?? {})]) {
      this.#log.masks.add(secret)
    }
    this.#inputs = {}
    this.result = this.#run(options.inputs ?? {}, options.deadline ?? 60_000)
    // Whoever waits for the log first sees the failure there; it must not count as unhandled meanwhile.
    this.result.catch(() => {})
  }

  get log(): string {
    return this.#log.text
  }

  /** The pid of the running step's entry process. */
  get pid(): number {
    return this.#running().pid
  }

  /** RUNNER_TEMP of the job, there until the run is over. */
  get temp(): string {
    return this.#job.temp
  }

  /** The first log line that matches; rejects with the log when the run ends or `timeout` (ms) passes first. */
  waitForLog(pattern: RegExp, timeout = 30_000): Promise<RegExpExecArray> {
    return this.#log.waitFor(pattern, timeout, this.#over.signal)
  }

  /** Cancels the job; the running step is signalled unless its own `if` still holds (as for `always()`). */
  cancel(): Promise<ActionResult> {
    this.#cancelled = true
    const current = this.#current
    if (current?.cancellable()) void current.process.cancel()
    return this.result
  }

  /** Ends the running step's entry process by SIGKILL; the job goes on as after any failed step. */
  kill9(): void {
    this.#running().signal('SIGKILL')
  }

  /** The runner dies: every process of the job is killed and no further step is run. */
  lostRunner(): Promise<ActionResult> {
    this.#lost = true
    this.#killProcesses()
    return this.result
  }

  /** Cancels the job on a runner that dies before it comes to a further step. */
  cancelThenLost(): Promise<ActionResult> {
    this.#lostAfterStep = true
    return this.cancel()
  }

  /** Kills the job's processes by pid, once; returns the command lines of those that were there. */
  #killProcesses(): string[] {
    this.#current?.process.killTree()
    const left = tracked(this.#job.trackingId)
    for (const { pid } of left) kill(pid)
    return left.map(({ command }) => command)
  }

  /** The same until none is left: one that was just being started may have slipped through. */
  async #endProcesses(): Promise<string[]> {
    const ended = this.#killProcesses()
    for (const startedAt = performance.now(); tracked(this.#job.trackingId).length > 0; ) {
      if (performance.now() - startedAt > 5_000) throw new Error(`Cannot be ended: ${ended.join(', ')}`)
      this.#killProcesses()
      await setTimer(10)
    }
    return ended
  }

  /** What can be done when the test's own process ends in the middle of the run. */
  abandon(): void {
    this.#killProcesses()
    this.#job.remove()
  }

  #running(): StepProcess {
    if (!this.#current) throw new Error(`No step is running now:\n${this.log}`)
    return this.#current.process
  }

  async #run(given: Record<string, string>, deadline: number): Promise<ActionResult> {
    let hung = false
    const timer = setTimeout(() => {
      hung = true
      this.#lost = true
      this.#killProcesses()
    }, deadline)
    try {
      this.#readInputs(given)
      for (const [index, step] of this.#file.runs.steps.entries()) {
        const result = await this.#step(step, step.id ?? `__run${index === 0 ? '' : `_${index + 1}`}`)
        this.#lost ||= this.#lostAfterStep
        if (this.#lost) break
        this.#steps.push(result)
      }
      if (hung) throw new Error(`The action had not ended after ${deadline} ms:\n${this.log}`)
      return this.#conclude(await this.#endProcesses())
    } finally {
      clearTimeout(timer)
      await this.#endProcesses()
      this.#job.remove()
      running.delete(this)
      this.#over.abort('the run ended')
    }
  }

  #conclude(orphans: string[]): ActionResult {
    this.#log.step = undefined
    if (this.#lost) this.#log.annotate('error', 'The runner has lost communication with the server.')
    const outputs: Record<string, string> = {}
    for (const [name, output] of Object.entries(this.#lost ? {} : (this.#file.outputs ?? {}))) {
      outputs[name] = fill(String(output.value ?? ''), this.#contexts({ ...this.#job.env }))
    }
    const status = this.#status()
    return {
      conclusion: status.cancelled ? 'cancelled' : status.failure || this.#lost ? 'failure' : 'success',
      outputs,
      orphans,
      log: this.#log.text,
      rawLog: this.#log.raw,
      summary: this.#summary,
      masks: this.#log.masks.values,
      annotations: this.#log.annotations,
      steps: this.#steps,
      durationMs: Math.round(performance.now() - this.#startedAt),
    }
  }

  /** The given inputs first, then the defaults; names are matched whatever their case, unknown ones handed on. */
  #readInputs(given: Record<string, string>): void {
    for (const [name, value] of Object.entries(given)) this.#inputs[name] = String(value)
    const lower = new Set(Object.keys(given).map((name) => name.toLowerCase()))
    const defined = Object.entries(this.#file.inputs ?? {})
    const { github, runner, job } = this.#contexts({})
    for (const [name, input] of defined) {
      if (lower.has(name.toLowerCase())) continue
      this.#inputs[name] = fill(String(input?.default ?? ''), { github: github!, runner: runner!, job: job! })
    }
    const valid = new Set(defined.map(([name]) => name.toLowerCase()))
    const unexpected = Object.keys(given).filter((name) => !valid.has(name.toLowerCase()))
    if (unexpected.length === 0) return
    const names = defined.map(([name]) => name)
    this.#log.annotate(
      'warning',
      `Unexpected input(s) '${unexpected.join("', '")}', valid inputs are ['${names.join("', '")}']`,
    )
  }

  /** For a composite's steps `success()` and `failure()` tell of the action so far; a cancelled job is neither. */
  #status(): Status {
    const conclusions = this.#steps.map((step) => step.conclusion)
    const cancelled = this.#cancelled
    const failure = !cancelled && conclusions.includes('failure')
    return { success: !cancelled && !failure, failure, cancelled }
  }

  #contexts(env: Record<string, string>): Contexts {
    const status = this.#status()
    const entries = this.#steps.map(({ id, outputs, outcome, conclusion }): [string, Plain] => [
      id,
      { outputs, outcome, conclusion },
    ])
    const steps = entries.filter(([id]) => !id.startsWith('__'))
    return {
      inputs: this.#inputs,
      github: this.#job.github,
      runner: this.#job.runner,
      job: { status: status.cancelled ? 'cancelled' : status.failure ? 'failure' : 'success' },
      steps: Object.fromEntries(steps),
      env,
      strategy: {},
      matrix: {},
    }
  }

  async #step(step: ActionStep, id: string): Promise<StepResult> {
    this.#log.startStep(id)
    const files = this.#job.newFiles()
    const result: StepResult = {
      id,
      outcome: 'failure',
      conclusion: 'failure',
      exitCode: null,
      signal: null,
      sent: [],
      outputs: {},
    }
    const env = { ...this.#job.env }
    const contexts = this.#contexts(env)
    const condition = step.if === undefined ? undefined : String(step.if)
    let tolerated = false
    try {
      for (const [name, value] of Object.entries(step.env ?? {}))
        env[name] = fill(String(value ?? ''), contexts)
      contexts['env'] = env
      if (!holds(condition, contexts, this.#status())) {
        return { ...result, outcome: 'skipped', conclusion: 'skipped' }
      }
      tolerated = fill(String(step['continue-on-error'] ?? 'false'), contexts) === 'true'
      result.outcome = await this.#execute(step, contexts, env, result, () => {
        return !holds(condition, contexts, this.#status())
      })
    } catch (error) {
      this.#log.annotate('error', (error as Error).message)
    }
    if (!this.#lost) {
      if (!takeFiles(files, result, this.#job, this.#log)) result.outcome = 'failure'
      this.#summary += takeSummary(files, this.#log)
    }
    if (this.#log.commandFailed) result.outcome = 'failure'
    result.conclusion = tolerated && result.outcome === 'failure' ? 'success' : result.outcome
    return result
  }

  async #execute(
    step: ActionStep,
    contexts: Contexts,
    env: Record<string, string>,
    result: StepResult,
    cancellable: () => boolean,
  ): Promise<Conclusion> {
    const script = fill(step.run, contexts)
    const shell = fill(step.shell, contexts)
    const formats: Record<string, string> = {
      sh: 'sh -e {0}',
      bash: 'bash --noprofile --norc -eo pipefail {0}',
    }
    const format = formats[shell] ?? shell
    if (!format.includes('{0}')) {
      throw new Error(`Invalid shell option '${shell}': sh, bash or a format string containing '{0}'`)
    }
    const directory = step['working-directory'] ? fill(step['working-directory'], contexts) : ''
    const cwd = resolve(String(this.#job.github['workspace']), directory)
    // Node reports a missing working directory as if the shell were missing.
    if (!existsSync(cwd))
      throw new Error(`An error occurred trying to start the step: No such directory '${cwd}'`)
    const scriptPath = join(this.#job.temp, `${result.id}-${this.#steps.length}.sh`)
    writeFileSync(scriptPath, script)
    const shown = Object.entries(env).map(([key, value]) => `  ${key}: ${value}`)
    this.#log.show(`##[group]Run ${script.trimStart().split('\n')[0]}\n${script.trimEnd()}\nshell: ${format}`)
    if (shown.length > 0) this.#log.show(`env:\n${shown.join('\n')}`)
    this.#log.show('##[endgroup]')
    const [command = '', ...args] = format.split(' ').map((word) => word.replace('{0}', scriptPath))
    const stepProcess = new StepProcess({
      command,
      args,
      cwd,
      env: this.#job.environment(env),
      timings: this.#timings,
      onLine: (line) => this.#log.take(line),
    })
    this.#current = { process: stepProcess, cancellable }
    try {
      const { exitCode, signal } = await stepProcess.ended
      Object.assign(result, { exitCode, signal, sent: stepProcess.sent })
    } finally {
      this.#current = undefined
    }
    if (this.#cancelled && cancellable()) {
      this.#log.annotate('error', 'The operation was canceled.')
      return 'cancelled'
    }
    if (result.exitCode === 0) return 'success'
    const code = result.exitCode ?? 128 + signalNumber(result.signal)
    this.#log.annotate('error', `Process completed with exit code ${code}.`)
    return 'failure'
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return (
    { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 }[String(signal)] ??
    0
  )
}

/** Starts an action; the handle can cancel it, kill its step, lose its runner and wait for its log. */
export function startAction(options: ActionOptions): ActionRun {
  return new ActionRun(options)
}

/**
 * Runs an action to its end. `during` gets the handle while it runs, to cancel it for example; if it throws, the run
 * is ended and its error handed on.
 */
export async function runAction(
  options: ActionOptions & { during?: (run: ActionRun) => Promise<unknown> | unknown },
): Promise<ActionResult> {
  const run = startAction(options)
  try {
    const [result] = await Promise.all([run.result, options.during?.(run)])
    return result
  } catch (error) {
    await run.lostRunner().catch(() => {})
    throw error
  }
}
