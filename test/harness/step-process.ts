// The process of one step, with the runner's way of cancelling it, and the search for what it left running.
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'

/** The runner's pauses when it cancels a step, and how long it waits for output after the process's end, in ms. */
export interface CancelTimings {
  interrupt: number
  terminate: number
  output: number
}

/** SIGINT, 7.5 s, SIGTERM, 2.5 s, kill: ProcessInvoker's values. */
export const runnerTimings: CancelTimings = { interrupt: 7_500, terminate: 2_500, output: 5_000 }

export interface StepEnd {
  exitCode: number | null
  signal: NodeJS.Signals | null
}

export interface StepProcessOptions {
  command: string
  args: string[]
  cwd: string
  env: Record<string, string>
  timings: CancelTimings
  onLine: (line: string) => void
}

export class StepProcess {
  readonly ended: Promise<StepEnd>
  /** The signals that the cancel sequence sent, in order. */
  readonly sent: NodeJS.Signals[] = []
  readonly #child: ChildProcess
  readonly #timings: CancelTimings
  #running = true

  constructor(options: StepProcessOptions) {
    this.#timings = options.timings
    this.#child = spawn(options.command, options.args, {
      cwd: options.cwd,
      env: options.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const streams = [this.#child.stdout, this.#child.stderr].map((stream) =>
      readLines(stream!, options.onLine),
    )
    this.ended = new Promise((resolve, reject) => {
      this.#child.on('error', (error) => {
        this.#running = false
        reject(new Error(`Cannot start ${options.command}: ${error.message}`))
      })
      this.#child.on('exit', (exitCode, signal) => {
        this.#running = false
        // Something that the step left in the background may hold its output open; the runner waits only so long.
        const timer = setTimeout(() => {
          this.#child.stdout?.destroy()
          this.#child.stderr?.destroy()
        }, options.timings.output)
        void Promise.all(streams).then(() => {
          clearTimeout(timer)
          resolve({ exitCode, signal })
        })
      })
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** The cancel sequence; only the entry process gets the signals, the whole tree the kill at the end. */
  async cancel(): Promise<void> {
    this.signal('SIGINT')
    if (await this.#endsWithin(this.#timings.interrupt)) return
    this.signal('SIGTERM')
    if (await this.#endsWithin(this.#timings.terminate)) return
    this.killTree()
  }

  /** SIGKILL to the entry process and all below it; nothing when it has ended. */
  killTree(): void {
    if (!this.#running) return
    for (const pid of descendants(this.pid)) kill(pid)
    this.signal('SIGKILL')
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.#running) return
    this.sent.push(signal)
    this.#child.kill(signal)
  }

  async #endsWithin(milliseconds: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds)
    })
    const exited = new Promise<void>((resolve) => {
      if (this.#running) this.#child.once('exit', () => resolve())
      else resolve()
    })
    await Promise.race([exited, late])
    clearTimeout(timer)
    return !this.#running
  }
}

async function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  try {
    for await (const chunk of stream) {
      const lines = (rest + decoder.write(chunk as Buffer)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line.replace(/\r$/, ''))
    }
  } catch {
    // Destroyed because its process has ended but not closed it.
  }
  rest += decoder.end()
  if (rest !== '') onLine(rest)
}

/** SIGKILL by pid; a process that has gone meanwhile is none the worse. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return ''
  }
}

/** The pids below `root` in the process tree, deepest last. */
function descendants(root: number): number[] {
  const parents = new Map(
    processes().map((pid) => [pid, Number(/^PPid:\s*(\d+)/m.exec(read(pid, 'status'))?.[1])]),
  )
  const found = [root]
  for (const parent of found) {
    for (const [pid, ppid] of parents) if (ppid === parent) found.push(pid)
  }
  return found.slice(1)
}

/** The live processes that carry a tracking id in their environment: how the runner finds orphans at a job's end. */
export function tracked(trackingId: string): { pid: number; command: string }[] {
  const entry = `RUNNER_TRACKING_ID=${trackingId}`
  return processes()
    .filter((pid) => read(pid, 'environ').split('\0').includes(entry))
    .map((pid) => ({ pid, command: read(pid, 'cmdline').replaceAll('\0', ' ').trim() }))
}
