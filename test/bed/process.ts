// Starts the servers of the test bed so that they end with the tests, however those end.
import { spawn } from 'node:child_process'
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, readSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { Writable } from 'node:stream'

export interface StartOptions {
  /** For messages. */
  name: string
  command: string[]
  /** True once the server truly serves; throwing means "not yet" too. Polled until the deadline. */
  ready: () => boolean | Promise<boolean>
  /** Milliseconds; default 15,000. */
  deadline?: number
  /** A folder of the server's own, removed after its end; default: a new one. */
  folder?: string
  /** Added to a clean environment (PATH, HOME and LANG alone are handed on; TMPDIR is the folder). */
  env?: Record<string, string>
  /** What asks it to end; default SIGTERM. */
  stopSignal?: 'TERM' | 'QUIT' | 'INT' | 'KILL'
  /** Seconds between the signal and the end by force; default 5. */
  grace?: number
}

export interface Running {
  /** The server itself, not its supervisor. */
  pid: number
  /** Everything it has printed. */
  log(): string
  /** Resolves with its exit code (128 + signal) after it and all its descendants are gone. */
  ended: Promise<number>
  stop(): Promise<void>
}

/** Thrown when a port was taken between the choice and the start. */
class PortTaken extends Error {}

/** A private folder for one server. Its path is short: sockets may have to lie in it. */
export function serverFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `evenkeel-${name}-`))
}

/**
 * Starts a server under a supervisor that ends it, its descendants and its folder with the test process.
 * @throws Error with the server's log, when it ends early or is not ready within the deadline.
 */
export async function startProcess(options: StartOptions): Promise<Running> {
  const { name, command, ready, deadline = 15_000, grace = 5, stopSignal = 'TERM' } = options
  const own = options.folder ?? serverFolder(name)
  const file = join(own, '.log')
  const out = openSync(file, 'a+', 0o600)
  const supervisor = spawn(
    'perl',
    [join(import.meta.dirname, 'supervisor.pl'), stopSignal, String(grace), own, ...command],
    {
      cwd: '/',
      detached: true, // a Ctrl-C in the terminal ends the tests, and they end the servers
      env: { ...inherited(), TMPDIR: own, ...options.env },
      stdio: ['ignore', out, out, 'pipe'],
    },
  )
  const leash = supervisor.stdio[3] as Writable
  leash.on('error', () => {}) // its other end is gone: so is the server
  let last: string | undefined
  const log = (): string => last ?? readAll(out)
  const ended = new Promise<number>((resolve) => {
    supervisor.on('error', () => resolve(127))
    supervisor.on('exit', (code) => resolve(code ?? 137))
  }).then((code) => {
    last = readAll(out)
    closeSync(out)
    leash.destroy()
    return code
  })
  let code: number | undefined
  void ended.then((value) => {
    code = value
  })
  const stop = async (): Promise<void> => {
    supervisor.ref()
    leash.end()
    await ended
  }
  // The supervisor must not keep a finished test process alive: its death is what ends the server then.
  supervisor.unref()
  ;(leash as Writable & { unref?: () => void }).unref?.()

  try {
    await until(
      `${name} is ready`,
      async () => {
        if (code !== undefined) throw new Ended(`${name} ended with ${code} before it was ready`)
        return await ready()
      },
      deadline,
    )
  } catch (error) {
    await stop()
    const said = log().trim().split('\n').slice(-15).join('\n')
    const message = `${(error as Error).message}\n${command.join(' ')}\n${said}`
    if (/address (is )?already in use|Address in use|failed to bind|Bind to port .* failed/i.test(said))
      throw new PortTaken(message)
    throw new Error(message)
  }
  return { pid: childrenOf(supervisor.pid!)[0]!, log, ended, stop }
}

/** Tries again, on other ports, when somebody else was quicker. */
export async function onFreePorts<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start()
    } catch (error) {
      if (!(error instanceof PortTaken) || attempt === 5) throw error
    }
  }
}

class Ended extends Error {}

/**
 * Waits for a condition, looking every 20 ms; an error thrown by the condition counts as "not yet".
 * @throws Error naming the condition and the last error, after `deadline` milliseconds.
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadline = 10_000,
): Promise<void> {
  const end = Date.now() + deadline
  let last: unknown
  for (;;) {
    try {
      if (await condition()) return
      last = undefined
    } catch (error) {
      if (error instanceof Ended) throw error
      last = error
    }
    if (Date.now() > end)
      throw new Error(`not so after ${deadline} ms: ${what}${last ? ` (${(last as Error).message})` : ''}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function inherited(): Record<string, string> {
  const kept = ['PATH', 'HOME', 'LANG'].flatMap((key) => {
    const value = process.env[key]
    return value === undefined ? [] : [[key, value]]
  })
  return Object.fromEntries(kept)
}

/** The process ids of a process's children that exist now. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}

/** By the open file, since its name is gone once the server is. */
function readAll(file: number): string {
  const { size } = fstatSync(file)
  const buffer = Buffer.alloc(size)
  return buffer.toString('utf8', 0, readSync(file, buffer, 0, size, 0))
}
