import type { Context } from '../context.ts'
import { cancelled } from '../context.ts'
import { Failure } from '../failure.ts'
import { OutputTail } from './output-tail.ts'
import type { Reconnecting } from './reconnecting.ts'
import { remoteScript } from './remote-script.ts'
import {
  BUSY,
  cancelScript,
  FENCED,
  followScript,
  LOG_BEGINS,
  startScript,
  type UnitPlan,
} from './unit-script.ts'

/** How a unit ended. */
export interface UnitResult {
  /** `lost`: its supervisor was killed, or could not write its result. */
  readonly outcome: 'ok' | 'failed' | 'timeout' | 'cancelled' | 'lost'
  /** The phase in which it ended. */
  readonly phase: string
  /** Exit status of the phase; 128 + n after signal n. */
  readonly code: number
  /** The last lines of its log. */
  readonly lastLines: readonly string[]
}

const LAST_LINES = 20

/**
 * Starts a unit: work that goes on whatever becomes of the connection, its log on the server. Streams the log and
 * resolves with the result; after a cut it connects again and goes on with the next byte. Rejects with `Cancelled`
 * when the signal aborts; the unit then still runs (see `cancelUnit`).
 */
export async function runUnit(
  server: Reconnecting,
  plan: UnitPlan,
  onLine: (line: string) => void,
  context: Context,
): Promise<UnitResult> {
  const stream = new UnitStream(server, plan, onLine)
  const first = await stream.follow(startScript(plan), context)
  // The connection broke before anything of the unit was there.
  if (first.outcome === 'absent') {
    const second = await stream.follow(startScript(plan), context)
    if (second.outcome !== 'absent') return second as UnitResult
  }
  return first as UnitResult
}

/** Follows a unit that runs or has ended, from the beginning of its log. */
export async function attachUnit(
  server: Reconnecting,
  unit: { readonly folder: string; readonly name: string },
  onLine: (line: string) => void,
  context: Context,
): Promise<UnitResult | undefined> {
  const result = await new UnitStream(server, unit, onLine).follow(
    followScript(unit.folder, unit.name, 0),
    context,
  )
  return result.outcome === 'absent' ? undefined : (result as UnitResult)
}

/** Asks a unit to end, children included, where it is in one of these phases or comes to one; it may take seconds. */
export async function cancelUnit(
  server: Reconnecting,
  unit: { readonly folder: string; readonly name: string },
  phases: readonly string[],
): Promise<void> {
  await server.connection.script(cancelScript(unit.folder, unit.name, phases))
}

type Followed = Omit<UnitResult, 'outcome'> & { readonly outcome: UnitResult['outcome'] | 'absent' }

class UnitStream {
  readonly #server: Reconnecting
  readonly #unit: { readonly folder: string; readonly name: string }
  readonly #output: OutputTail
  readonly #lastLines: string[] = []
  #offset = 0

  constructor(
    server: Reconnecting,
    unit: { readonly folder: string; readonly name: string },
    onLine: (line: string) => void,
  ) {
    this.#server = server
    this.#unit = unit
    // One splitter for all connections: a line cut in two by a cut arrives whole.
    this.#output = new OutputTail(0, (line) => {
      this.#lastLines.push(line)
      if (this.#lastLines.length > LAST_LINES) this.#lastLines.shift()
      onLine(line)
    })
  }

  async follow(script: string, context: Context): Promise<Followed> {
    for (let text = script; ; text = followScript(this.#unit.folder, this.#unit.name, this.#offset)) {
      try {
        return await this.#once(text, context)
      } catch (error) {
        if (context.signal.aborted || !(error instanceof Failure) || error instanceof Refused) throw error
        context.log.warn(`${error.message}; the work on the server goes on: connecting again`)
        await this.#server.reconnect(context)
        context.log.info('connected again')
      }
    }
  }

  async #once(script: string, { signal }: Context): Promise<Followed> {
    const { command, stdin } = remoteScript(script, {})
    const { channel, ended } = await this.#server.connection.start(command)
    let errors = ''
    let greeting: Buffer | undefined = Buffer.alloc(0)
    channel.on('data', (chunk: Buffer) => {
      let log = chunk
      if (greeting !== undefined) {
        greeting = Buffer.concat([greeting, chunk])
        const begin = greeting.indexOf(LOG_BEGINS)
        if (begin < 0) return
        log = greeting.subarray(begin + LOG_BEGINS.length)
        greeting = undefined
      }
      this.#offset += log.length
      this.#output.push(log)
    })
    channel.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString('utf8')).slice(-4096)
    })
    channel.on('error', () => {})
    channel.end(stdin)
    const status = await unlessAborted(ended, signal)
    const result = /^\{"outcome".*\}$/m.exec(errors)?.[0]
    if (result === undefined) throw this.#refused(status.code, errors)
    this.#output.end()
    return { ...(JSON.parse(result) as Omit<Followed, 'lastLines'>), lastLines: this.#lastLines }
  }

  #refused(code: number | undefined, errors: string): Failure {
    const host = this.#server.name
    const hint = 'look at the run that is at work there, and run this one again after it'
    const state = 'nothing was started there.'
    if (code === BUSY) return new Refused('other work goes on in the same place', { host, state, hint })
    if (code === FENCED) return new Refused('a later run has taken over', { host, state, hint })
    return new Refused('the work could not be started on the server', {
      host,
      seen: errors.trim(),
      hint: 'check free disk space and that the user may write there',
    })
  }
}

/** The server has answered: trying again would not help. */
class Refused extends Failure {}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = () => {}
  try {
    return await Promise.race([
      work,
      new Promise<never>((_resolve, reject) => {
        abort = () => reject(cancelled(signal))
        if (signal.aborted) abort()
        signal.addEventListener('abort', abort, { once: true })
      }),
    ])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
