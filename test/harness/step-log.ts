// A job's log: what a step prints, with the commands in it obeyed and the secrets hidden.
import { Masks } from './masks.ts'
import { parseCommand, type WorkflowCommand } from './workflow-commands.ts'

export interface Annotation {
  level: 'error' | 'warning' | 'notice'
  message: string
  /** `title`, `file`, `line` and so on, where the command gave them. */
  properties: Record<string, string>
  /** The id of the step, or `__run` and its number; undefined for what the runner says about the action itself. */
  step?: string
}

interface Waiter {
  pattern: RegExp
  found: (match: RegExpExecArray) => void
}

export class StepLog {
  readonly annotations: Annotation[] = []
  readonly masks = new Masks()
  step: string | undefined
  /** Set when a command could not be obeyed, which fails the step whatever its exit code. */
  commandFailed = false
  readonly #shown: string[] = []
  readonly #raw: string[] = []
  readonly #waiters = new Set<Waiter>()
  readonly #debug: boolean
  readonly #onLine: ((line: string) => void) | undefined
  #resumeToken: string | undefined

  constructor(options: { debug: boolean; onLine: ((line: string) => void) | undefined }) {
    this.#debug = options.debug
    this.#onLine = options.onLine
  }

  /** The log as GitHub shows it. */
  get text(): string {
    return this.#shown.join('\n')
  }

  /** What the action's own processes printed, nothing hidden, commands included. */
  get raw(): string {
    return this.#raw.join('\n')
  }

  /** A line of the runner itself. */
  show(text: string): void {
    for (const line of this.masks.mask(text).split('\n')) {
      this.#shown.push(line)
      this.#onLine?.(line)
      for (const waiter of this.#waiters) {
        const match = waiter.pattern.exec(line)
        if (match) waiter.found(match)
      }
    }
  }

  annotate(level: Annotation['level'], text: string, properties: Record<string, string> = {}): void {
    const hidden = Object.entries(properties).map(([key, value]) => [key, this.masks.mask(value)])
    this.annotations.push({
      level,
      message: this.masks.mask(text),
      properties: Object.fromEntries(hidden) as Record<string, string>,
      ...(this.step === undefined ? {} : { step: this.step }),
    })
    this.show(`##[${level}]${text}`)
  }

  /** A line that a step printed. */
  take(line: string): void {
    this.#raw.push(line)
    const command = parseCommand(line, this.#resumeToken)
    if (!command) this.show(line)
    else if (this.#resumeToken !== undefined) this.#takeWhileStopped(command, line)
    else this.#obey(command, line)
  }

  /** A step's end ends what it stopped: the next one starts afresh. */
  startStep(id: string): void {
    this.step = id
    this.#resumeToken = undefined
    this.commandFailed = false
  }

  /** The first line, shown already or still to come, that matches; masked, as the log shows it. */
  waitFor(pattern: RegExp, timeout: number, over: AbortSignal): Promise<RegExpExecArray> {
    const fresh = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''))
    for (const line of this.#shown) {
      const match = fresh.exec(line)
      if (match) return Promise.resolve(match)
    }
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
        over.removeEventListener('abort', ended)
      }
      const fail = (why: string): void => {
        settle()
        reject(new Error(`${why} before the log showed ${fresh}:\n${this.text}`))
      }
      const ended = (): void => fail('The run ended')
      const waiter: Waiter = {
        pattern: fresh,
        found: (match) => {
          settle()
          resolve(match)
        },
      }
      const timer = setTimeout(() => fail(`${timeout} ms passed`), timeout)
      this.#waiters.add(waiter)
      over.addEventListener('abort', ended)
      if (over.aborted) ended()
    })
  }

  #takeWhileStopped(command: WorkflowCommand, line: string): void {
    if (command.name === this.#resumeToken?.toLowerCase()) this.#resumeToken = undefined
    this.show(line)
  }

  #obey(command: WorkflowCommand, line: string): void {
    switch (command.name) {
      case 'add-mask':
        if (command.data.trim() === '') {
          this.annotate('warning', "Can't add secret mask for empty string in ##[add-mask] command.")
        } else this.masks.add(command.data)
        break
      case 'error':
      case 'warning':
      case 'notice':
        this.annotate(command.name, command.data, command.properties)
        break
      case 'group':
        this.show(`##[group]${command.data}`)
        break
      case 'endgroup':
        this.show('##[endgroup]')
        break
      case 'debug':
        if (this.#debug) this.show(`##[debug]${command.data}`)
        break
      case 'stop-commands':
        this.#resumeToken = command.data
        this.show(line)
        break
      case 'set-env':
      case 'add-path':
      case 'set-output':
      case 'save-state':
        this.annotate(
          'error',
          `Unable to process command '${command.name}': it is disabled, use the file instead.`,
        )
        this.commandFailed = true
        break
      default:
      // echo and the problem matchers change nothing that a test could see.
    }
  }
}
