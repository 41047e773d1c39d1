import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Context } from '../context.ts'
import { unlessAborted } from '../context.ts'
import { Failure } from '../failure.ts'
import { OutputTail } from './output-tail.ts'
import type { Reconnecting } from './reconnecting.ts'
import { remoteScript } from './remote-script.ts'
import { UnitOutput } from './unit-output.ts'
import {
  BUSY,
  cancelScript,
  FENCED,
  followScript,
  NOT_PREPARED,
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

/** Nothing of a unit has begun. */
export class NotStarted extends Failure {}

/** What is done right before a unit starts, in the same round trip. */
export interface Preparation {
  readonly script: string
  /** What its failure means. */
  readonly explain: (code: number, output: string) => Failure
}

/** The output of a start script that somebody else runs on the server. */
export interface Started {
  readonly token: string
  readonly output: Readable
}

/** A start script for `Started`, with its token. */
export function startText(plan: UnitPlan, before?: Preparation): { token: string; script: string } {
  const token = randomBytes(12).toString('hex')
  return { token, script: startScript(plan, token, before?.script) }
}

export interface RunOptions {
  readonly before?: Preparation | undefined
  /** The start script runs already, this is its output. */
  readonly started?: Started | undefined
  /** What starts it again after the connection broke before anything of the unit was there. */
  readonly again?: (() => Started | Script | Promise<Started>) | undefined
}

/**
 * Starts a unit: work that goes on whatever becomes of the connection, its log on the server. Streams the log and
 * resolves with the result; after a cut it connects again and goes on with the next byte. Rejects with `Cancelled`
 * when the signal aborts; the unit then still runs (see `cancelUnit`). Where it could not be started, rejects with
 * `NotStarted`; for a preparation that has failed, with its own explanation.
 */
export async function runUnit(
  server: Reconnecting,
  plan: UnitPlan,
  onLine: (line: string) => void,
  context: Context,
  { before, started, again = () => startText(plan, before) }: RunOptions = {},
): Promise<UnitResult> {
  const stream = new UnitStream(server, plan, onLine)
  const first = await stream.follow(started ?? startText(plan, before), context)
  // The connection broke before anything of the unit was there.
  const result = first.outcome === 'absent' ? await stream.follow(await again(), context) : first
  if (result.outcome === 'refused' || result.outcome === 'absent') throw refused(server.name, result, before)
  return result as UnitResult
}

/** Follows a unit that runs or has ended, from the beginning of its log. */
export async function attachUnit(
  server: Reconnecting,
  unit: { readonly folder: string; readonly name: string },
  onLine: (line: string) => void,
  context: Context,
): Promise<UnitResult | undefined> {
  const result = await new UnitStream(server, unit, onLine).follow(undefined, context)
  if (result.outcome === 'refused') throw refused(server.name, result, undefined)
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

interface Followed extends Omit<UnitResult, 'outcome'> {
  readonly outcome: UnitResult['outcome'] | 'absent' | 'refused'
  /** What was printed before the log. */
  readonly before: string
}

type Script = { readonly token: string; readonly script: string }

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

  async follow(first: Script | Started | undefined, context: Context): Promise<Followed> {
    for (let what = first; ; what = undefined) {
      try {
        return await this.#once(what ?? this.#further(), context)
      } catch (error) {
        if (context.signal.aborted || !(error instanceof Failure)) throw error
        context.log.warn(`${error.message}; the work on the server goes on: connecting again`)
        await this.#server.reconnect(context)
        context.log.info('connected again')
      }
    }
  }

  #further(): Script {
    const token = randomBytes(12).toString('hex')
    return { token, script: followScript(this.#unit.folder, this.#unit.name, token, this.#offset) }
  }

  async #once(what: Script | Started, { signal }: Context): Promise<Followed> {
    const parts = new UnitOutput(what.token, (bytes) => {
      this.#offset += bytes.length
      this.#output.push(bytes)
    })
    if ('output' in what) {
      await unlessAborted(untilResult(what.output, parts), signal)
    } else {
      const { command, stdin } = remoteScript(what.script, {})
      const { channel, ended } = await this.#server.connection.start(command)
      let errors = ''
      channel.stderr.on('data', (chunk: Buffer) => {
        errors = (errors + chunk.toString('utf8')).slice(-4096)
      })
      channel.end(stdin)
      await unlessAborted(untilResult(channel, parts), signal)
      // A shell that has come to its end without a word of its own: trying again would not help.
      const code = parts.result === undefined ? (await unlessAborted(ended, signal)).code : undefined
      if (code !== undefined) {
        return { outcome: 'refused', phase: '', code, before: errors, lastLines: this.#lastLines }
      }
    }
    const { before, result } = parts
    if (result === undefined) throw new Failure('the SSH connection broke', { host: this.#server.name })
    this.#output.end()
    return { ...(JSON.parse(result) as Omit<Followed, 'lastLines'>), before, lastLines: this.#lastLines }
  }
}

/** Resolves with the last line, or when the stream has ended without one. */
function untilResult(stream: Readable, parts: UnitOutput): Promise<void> {
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      parts.push(chunk)
      if (parts.result !== undefined) resolve()
    })
    // A broken connection also ends the stream: `close` is where that is told.
    stream.on('error', () => {})
    stream.once('end', resolve)
    stream.once('close', resolve)
  })
}

function refused(host: string, { code, before }: Followed, preparation: Preparation | undefined): NotStarted {
  const hint = 'look at the run that is at work there, and run this one again after it'
  const state = 'nothing was started there.'
  if (code === BUSY) return new NotStarted('other work goes on in the same place', { host, state, hint })
  if (code === FENCED) return new NotStarted('a later run has taken over', { host, state, hint })
  if (code === NOT_PREPARED && preparation !== undefined) {
    const end = before.lastIndexOf('\n')
    const { message, details } = preparation.explain(Number(before.slice(end + 1)), before.slice(0, end))
    return new NotStarted(message, details)
  }
  return new NotStarted('the work could not be started on the server', {
    host,
    seen: before.trim(),
    state,
    hint: 'check free disk space and that the user may write there',
  })
}
