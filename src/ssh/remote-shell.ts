import { randomBytes } from 'node:crypto'
import type { Writable } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { cancelled, unlessAborted } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { type ByteString, fromByteString } from './byte-string.ts'
import type { Connection, RemoteProcess } from './connection.ts'
import { RecordParser } from './record-parser.ts'
import { encodedForPrintf } from './remote-script.ts'

/**
 * Collects lines that begin with `+`; `.` runs them with an empty standard input, `<` runs them with what follows as
 * standard input and ends. A script that arrives in part is never run. The text is constant: it means the same to
 * every login shell and shows nothing in the process list. `read` takes single bytes, so nothing is read too far.
 * A newline is the third character of IFS, which no shell takes from its environment (POSIX, 2.5.3).
 */
export const SHELL_COMMAND = shellCommand('', '')

function shellCommand(first: string, words: string): string {
  const setup = `LC_ALL=C; export LC_ALL; n=\${IFS#??}; s=;${first}`
  const loop = `while IFS= read -r l; do case $l in +*) s=$s\${l#+}$n;; .) eval "$s" </dev/null; s=;; "<") eval "$s"; exit;; esac; done`
  return `exec sh -c '${setup} ${loop}'${words}`
}

const KEEP_NOISE = 64 * 1024
const NO_SHELL_HINT = 'give the deploy user a shell, or SFTP (`Subsystem sftp` in the sshd_config)'

/** The login runs no commands: it may still have SFTP. Nothing was done on the server. */
export class NoShell extends Failure {}

export interface BlockResult {
  readonly code: number
  /** What the block printed besides its records. */
  readonly noise: string
}

/** What a shell runs in one turn. */
export interface Block {
  /** Runs in a subshell with `set -e`. */
  readonly code: ByteString
  /** Code for the shell itself (locks, functions), run before the block. */
  readonly prelude?: ByteString
  /** Code for the shell itself, run after a block that ended well, before its end is told. */
  readonly sequel?: ByteString
}

export interface BlockOptions {
  /** A record that the block printed by `say <name> <value>`. */
  readonly onRecord?: (name: string, value: ByteString) => void
  /** Bytes that the block printed by `send <name> <file>`. */
  readonly onData?: (name: string, bytes: Buffer) => void
  /** Stops waiting; the block itself runs to its end. */
  readonly signal?: AbortSignal
}

/**
 * The first block of a shell, in the command that starts it: it need not wait for a round trip until a channel takes data.
 * The process list shows it, so that nothing secret may be in it.
 */
export class OpeningBlock {
  readonly mark = newMark()
  readonly text: ByteString
  readonly command: string

  constructor(block: Block) {
    this.text = blockText(block)
    const bytes = Buffer.from(`${definitions(this.mark)}\n${this.text}`, 'latin1')
    this.command = shellCommand(' eval "$(printf %b "$1")" </dev/null;', ` sh ${encodedForPrintf(bytes)}`)
  }
}

const newMark = () => randomBytes(12).toString('hex')

const definitions = (mark: string) => `mark=${mark}
say() { printf '%s %s\\n' "$mark" "$*"; }
send() { printf '%s data %s %s\\n' "$mark" "$1" "$(($(wc -c <"$2")))"; cat <"$2"; }`

function blockText({ code, prelude = '', sequel }: Block): ByteString {
  const after = sequel === undefined ? [] : [`if [ "$code" = 0 ]; then ${sequel}; fi`]
  return [prelude, '(', 'set -e', code, ') 2>&1', 'code=$?', ...after, 'say "end $code"'].join('\n')
}

/** Nothing to a shell that collects lines; an SFTP server that runs in its place takes it for a packet, and ends. */
const NO_INPUT = '\n'.repeat(8)

/**
 * A POSIX shell on the server that stays open over several blocks of code, so that what it holds (a lock) lasts from
 * one block to the next and goes with the connection. Records are told from other output by a random mark.
 */
export class RemoteShell {
  /** Random, of this shell alone; `$mark` there. */
  readonly mark: string
  readonly #channel: ClientChannel
  readonly #connection: Connection
  #parser: RecordParser | undefined
  #opening: OpeningBlock | undefined
  /** What came before anybody asked for it. */
  #early: Buffer[] = []
  readonly #ended: Promise<void>
  #queue: Promise<unknown> = Promise.resolve()
  #stderr = ''
  #closed = false
  /** Whether the shell has ever answered, and the exit code of its command. */
  #hasAnswered = false
  #exitCode: number | undefined

  private constructor(connection: Connection, { channel, ended }: RemoteProcess, opening?: OpeningBlock) {
    this.mark = opening?.mark ?? newMark()
    this.#connection = connection
    this.#channel = channel
    this.#opening = opening
    channel.on('data', (chunk: Buffer) => {
      if (this.#parser !== undefined) this.#parser.push(chunk)
      else if (this.#opening !== undefined) this.#early.push(chunk)
    })
    channel.stderr.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString('latin1')).slice(-KEEP_NOISE)
    })
    // A broken connection also ends the channel: `close` is where that is told.
    channel.on('error', () => {})
    this.#ended = ended.then(
      ({ code }) => {
        this.#exitCode = code
      },
      () => {},
    )
    void this.#ended.then(() => {
      this.#closed = true
      this.#parser?.end()
    })
    if (opening === undefined) this.define(definitions(this.mark))
    else channel.write(NO_INPUT)
  }

  /** With `opening`, the first block that is run must be that one. */
  static async open(connection: Connection, opening?: OpeningBlock): Promise<RemoteShell> {
    try {
      const command = opening?.command ?? SHELL_COMMAND
      return new RemoteShell(connection, await connection.start(command), opening)
    } catch (error) {
      if (!(error instanceof Failure) || !connection.isOpen) throw error
      throw new NoShell(error.message, { ...error.details, hint: NO_SHELL_HINT })
    }
  }

  /**
   * Runs a block in a subshell with `set -e` and resolves with its exit code. Rejects when the connection or the
   * shell ends before the block's own end line has come: then it is not known how far it got.
   */
  run(block: Block, options: BlockOptions = {}): Promise<BlockResult> {
    const turn = this.#queue.then(() => this.#runNow(blockText(block), options))
    this.#queue = turn.catch(() => {})
    return options.signal === undefined ? turn : unlessAborted(turn, options.signal)
  }

  /** Code for the shell itself (functions) that it reads when it has nothing else to do; the blocks from then on have it. */
  define(code: ByteString): void {
    if (!this.#closed) this.#send(code)
  }

  /** Lets the shell come to its end, after what it is at; what it holds is released. Resolves when it has gone. */
  async close(): Promise<void> {
    await this.#queue
    if (this.#closed) return
    this.#channel.end()
    await this.#ended
  }

  #runNow(text: ByteString, { onRecord, onData }: BlockOptions): Promise<BlockResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed && this.#opening === undefined) return reject(this.#gone())
      this.#parser = new RecordParser(this.mark, {
        onRecord: (name, value) => {
          this.#hasAnswered = true
          if (name !== 'end') {
            onRecord?.(name, value)
            return
          }
          const noise = this.#parser?.noise ?? ''
          this.#parser = undefined
          resolve({ code: Number(value), noise })
        },
        onData: (name, bytes) => onData?.(name, bytes),
        onGone: () => reject(this.#gone()),
      })
      if (this.#opening === undefined) {
        this.#send(text)
        this.#channel.write('.\n')
        return
      }
      if (this.#opening.text !== text) throw new TypeError('the shell was opened with another block')
      this.#opening = undefined
      for (const chunk of this.#early.splice(0)) this.#parser?.push(chunk)
      if (this.#closed) this.#parser?.end()
    })
  }

  #send(text: ByteString): void {
    const lines = text.split('\n')
    this.#channel.write(Buffer.from(lines.map((line) => `+${line}\n`).join(''), 'latin1'))
  }

  #gone(): Failure {
    const said = fromByteString(this.#stderr || this.#parser?.noise || '').trim()
    if (!this.#hasAnswered && this.#exitCode !== undefined) {
      return new NoShell('the server runs no commands for this user', {
        host: this.#connection.name,
        seen: said || `exit code ${this.#exitCode}`,
        hint: NO_SHELL_HINT,
      })
    }
    return new Failure('the connection or the remote shell ended in the middle of its work', {
      host: this.#connection.name,
      seen: said || 'no answer',
      hint: 'run the job again: it looks at the state of the server first',
    })
  }
}

/** A remote process that waits for a script and what the script reads. */
export const openLane = (connection: Connection): Promise<RemoteProcess> => connection.start(SHELL_COMMAND)

/** The same over a connection of its own: one alone fills no long fat path. */
export const openLaneApart = (connection: Connection): Promise<RemoteProcess> =>
  connection.startApart(SHELL_COMMAND, 'is far away, and much is to be sent')

/** Runs a script with chunks as its standard input (see `feed`); resolves with its exit code and what it printed. */
export async function pipeToScript(
  host: string,
  { channel, ended }: RemoteProcess,
  code: ByteString,
  input: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<BlockResult> {
  let noise = ''
  const keep = (chunk: Buffer) => {
    noise = (noise + chunk.toString('latin1')).slice(-KEEP_NOISE)
  }
  channel.on('data', keep)
  channel.stderr.on('data', keep)
  const lines = code.split('\n').map((line) => `+${line}\n`)
  channel.write(Buffer.from(`${lines.join('')}<\n`, 'latin1'))
  let broken: unknown
  // A channel that has closed takes nothing, and says nothing of it.
  const over = new AbortController()
  const gone = () => over.abort(new Error('the channel was closed'))
  ended.then(gone, gone)
  const stop = AbortSignal.any([signal, over.signal])
  try {
    // Not only between two chunks: the next one may take its time.
    await unlessAborted(feed(channel, input, stop), stop)
  } catch (error) {
    if (!over.signal.aborted) {
      channel.close()
      throw signal.aborted ? cancelled(signal) : error
    }
    broken = over.signal.reason
  }
  // A remote process that ends early closes the pipe: its own words tell more than that.
  const status = await unlessAborted(ended, signal)
  if (status.code !== undefined && (status.code !== 0 || broken === undefined)) {
    return { code: status.code, noise }
  }
  throw new Failure('the transfer was cut off', {
    host,
    seen: status.signal === undefined ? describeError(broken) : `killed by ${status.signal}`,
    hint: 'run the job again: what has arrived is not sent a second time',
    cause: broken,
  })
}

/** Writes chunks and ends the stream. The next one is asked for while one is being taken, the next but one not. */
export async function feed(
  stream: Writable,
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  let fail = (_error: unknown) => {}
  const abort = () => fail(signal.reason)
  signal.addEventListener('abort', abort)
  stream.on('error', (error) => fail(error))
  const write = (chunk: Buffer) =>
    new Promise<void>((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      fail = reject
      stream.write(chunk, (error) => (error ? reject(error) : resolve()))
    })
  try {
    let taken = Promise.resolve()
    for await (const chunk of chunks) {
      await taken
      taken = write(chunk)
      taken.catch(() => {})
    }
    await taken
    stream.end()
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
