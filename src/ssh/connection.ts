import type { Buffer } from 'node:buffer'
import type { Client, ClientChannel } from 'ssh2'
import { cancelled } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { OutputTail } from './output-tail.ts'
import { openScript, remoteScript, type ScriptOptions } from './remote-script.ts'
import { SlowStart } from './slow-start.ts'
import { formatAddress, formatTarget, type Target } from './target.ts'

/** How a remote process ended. Exactly one of `code` and `signal` is set. */
export interface ExitStatus {
  readonly code: number | undefined
  /** Name without SIG, for example `KILL`. */
  readonly signal: string | undefined
}

/** A remote command that runs. */
export interface RemoteProcess {
  /** Its standard input and output; `channel.stderr` is its standard error. Both outputs must be read. */
  readonly channel: ClientChannel
  /** Rejects with a `Failure` when the connection broke before the command is known to have ended. */
  readonly ended: Promise<ExitStatus>
}

export interface ExecResult extends ExitStatus {
  readonly stdout: string
  readonly stderr: string
}

export interface ExecOptions {
  /** Text for standard input, which is closed after it. */
  readonly stdin?: string | Buffer
  /** Called with each whole line of output as it comes, without its newline. */
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void
  /** Ends the channel (the remote process gets SIGHUP at best: remote work that must end needs a unit). */
  readonly signal?: AbortSignal
  /** Bytes of each stream that are kept for the result (the last ones); default 1 MiB. */
  readonly keepBytes?: number
}

const KEEP_BYTES = 1024 * 1024
/** SSH_OPEN_ADMINISTRATIVELY_PROHIBITED */
const PROHIBITED = 1
/** Further connections for a server that allows few sessions on one. */
const MAX_FURTHER = 3

export interface ConnectionOrigin {
  /** Time that the dialling took, in ms: about one round trip. */
  readonly roundTripMs: number
  /** Whether much is going to be sent, as far as that is known. */
  readonly willSendMuch: (() => boolean) | undefined
  /** Logs in once more, to the same server; logs why. */
  readonly again: (why: string) => Promise<Connection>
}

/** A logged-in connection to one server, its host key verified. */
export class Connection {
  readonly target: Target
  readonly slowStart: SlowStart
  readonly #client: Client
  readonly #prepared = new Map<string, Promise<RemoteProcess>[]>()
  readonly #origin: ConnectionOrigin
  readonly #further: Promise<Connection>[] = []
  readonly #apart: Promise<Connection>[] = []
  /** Of each channel on its way: tells that the connection has gone. */
  readonly #opening = new Set<() => void>()
  #lost: Error | undefined
  #closed = false

  constructor(target: Target, client: Client, origin: ConnectionOrigin) {
    this.target = target
    this.#origin = origin
    this.#client = client
    this.slowStart = new SlowStart(client, origin.roundTripMs, origin.willSendMuch)
    client.on('error', (error: Error) => {
      this.#lost = error
    })
    client.on('close', () => {
      this.#closed = true
      this.slowStart.end()
      for (const gone of this.#opening) gone()
    })
  }

  /** Name for messages: user@host, with the port where it is not 22. */
  get name(): string {
    return formatTarget(this.target)
  }

  /** False once the connection is known to have gone. */
  get isOpen(): boolean {
    return !this.#closed
  }

  get roundTripMs(): number {
    return this.#origin.roundTripMs
  }

  /** Whether the server has refused several sessions on one connection. */
  get isNarrow(): boolean {
    return this.#further.length > 0
  }

  /** Called once when the connection has gone, for whatever reason. */
  onClose(listener: () => void): void {
    this.#client.once('close', listener)
  }

  close(): void {
    this.#client.end()
    for (const one of [...this.#further, ...this.#apart]) {
      one.then(
        (connection) => connection.close(),
        () => {},
      )
    }
  }

  /**
   * Runs one command line by the login shell. Everything variable in it must have gone through `quote`; prefer
   * `script`, which keeps values out of the process list. Resolves whatever the exit status is; rejects with a
   * `Failure` when the connection breaks before the status is known, since the command may then still run.
   */
  async exec(command: string, options: ExecOptions = {}): Promise<ExecResult> {
    return collect(await this.start(command), options)
  }

  /**
   * Runs a POSIX shell script that travels over standard input: neither it nor its environment shows up in an
   * argument, a process list or a file. It runs with `set -e` in `cwd`, its own standard input is /dev/null.
   */
  script(text: string, options: ScriptOptions & Omit<ExecOptions, 'stdin'> = {}): Promise<ExecResult> {
    const { command, stdin } = remoteScript(text, options)
    return this.exec(command, { ...options, stdin })
  }

  /**
   * As `script`, a round trip quicker, for a script in which nothing is secret: the server's process list shows it while
   * it runs.
   */
  openScript(text: string, options: Omit<ExecOptions, 'stdin'> = {}): Promise<ExecResult> {
    return this.exec(openScript(text), options)
  }

  /**
   * Starts a command line ahead of its use: the next `start` of the same one finds it waiting for its input, which saves
   * the round trips of a new channel. For commands that do nothing before they get input. sshd allows 10 at a time.
   */
  prepare(command: string): void {
    const ready = this.#startHere(command)
    ready.catch(() => {})
    this.#prepared.set(command, [...(this.#prepared.get(command) ?? []), ready])
  }

  /**
   * Starts a command line and leaves its streams to the caller. What holds for `exec` holds here. Where the server
   * refuses a further session on this connection (MaxSessions), it runs on another one.
   */
  async start(command: string): Promise<RemoteProcess> {
    const ready = this.#prepared.get(command)?.shift()
    return ready === undefined ? this.#startNow(command) : ready.catch(() => this.#startNow(command))
  }

  /** Starts a command line on a connection of its own, which is closed with this one. */
  async startApart(command: string, why: string): Promise<RemoteProcess> {
    const next = this.#origin.again(why)
    this.#apart.push(next)
    return (await next).#startHere(command)
  }

  async #startNow(command: string): Promise<RemoteProcess> {
    try {
      return await this.#startHere(command)
    } catch (error) {
      if (!isSessionRefused(error)) throw error
    }
    for (const one of [...this.#further]) {
      try {
        return await (await one).#startHere(command)
      } catch (error) {
        if (!isSessionRefused(error) || this.#further.length === MAX_FURTHER) throw error
      }
    }
    const next = this.#origin.again('allows too few sessions on one connection (MaxSessions)')
    this.#further.push(next)
    return (await next).#startHere(command)
  }

  async #startHere(command: string): Promise<RemoteProcess> {
    let ended: Promise<ExitStatus> | undefined
    const channel = await this.#open((done) => {
      this.#client.exec(command, (error, opened) => {
        // At once: a short command's exit status can come in the same packet as the channel.
        if (!error) ended = this.#exitOf(opened)
        done(error, opened)
      })
    }, 'the server runs no commands for this user')
    if (ended === undefined) throw new TypeError('a channel was opened without its exit being awaited')
    ended.catch(() => {})
    return { channel, ended }
  }

  #exitOf(channel: ClientChannel): Promise<ExitStatus> {
    return new Promise((resolve, reject) => {
      let status: ExitStatus | undefined
      channel.once('exit', (code: number | null, signal?: string) => {
        status = { code: code ?? undefined, signal: signal?.replace(/^SIG/, '') }
      })
      // A lost connection closes the channel too: only a status says that the command has ended.
      channel.once('close', () => (status ? resolve(status) : reject(this.#connectionLost())))
    })
  }

  /** A TCP connection from the server to an address as the server sees it. */
  openTcp(host: string, port: number): Promise<ClientChannel> {
    return this.#open(
      (done) => this.#client.forwardOut('127.0.0.1', 0, host, port, done),
      `the server opens no connection to ${formatAddress(host, port)}`,
    )
  }

  /** Whether the server refuses to open connections to an address for this user (AllowTcpForwarding, PermitOpen). */
  async refusesTcp(host: string, port: number): Promise<boolean> {
    try {
      const channel = await this.openTcp(host, port)
      channel.on('error', () => {})
      channel.destroy()
      return false
    } catch (error) {
      // RFC 4254, 5.1: a connection that fails has another reason.
      const { reason } = ((error as Failure).details?.cause ?? {}) as { reason?: unknown }
      return reason === PROHIBITED || reason === 'ADMINISTRATIVELY_PROHIBITED'
    }
  }

  /** A channel to a subsystem, such as `sftp`. A login without a shell may still have it. */
  openSubsystem(name: string): Promise<ClientChannel> {
    return this.#open(
      (done) => this.#client.subsys(name, done),
      `the server does not offer ${name} to this user`,
    )
  }

  #open(
    start: (done: (error: Error | undefined, channel: ClientChannel) => void) => void,
    what: string,
  ): Promise<ClientChannel> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#connectionLost())
      const gone = () => reject(this.#connectionLost())
      this.#opening.add(gone)
      try {
        start((error, channel) => {
          this.#opening.delete(gone)
          if (error) reject(new Failure(what, { host: this.name, seen: describeError(error), cause: error }))
          else resolve(channel)
        })
      } catch (error) {
        // ssh2 throws where nothing can be sent any more, which is so for a while before the connection is closed.
        this.#opening.delete(gone)
        this.#closed = true
        this.#lost ??= error as Error
        gone()
      }
    })
  }

  #connectionLost(): Failure {
    return new Failure('the SSH connection broke', {
      host: this.name,
      seen: this.#lost ? describeError(this.#lost) : 'the server closed it',
      state: 'whether the last command still runs there is not known.',
      hint: 'run the job again: it looks at the state of the server first',
      cause: this.#lost,
    })
  }
}

/** sshd's answer beyond MaxSessions; a login without any right to commands is told otherwise, or later. */
function isSessionRefused(error: unknown): boolean {
  return error instanceof Failure && /channel open failure: open failed/i.test(error.details.seen ?? '')
}

async function collect({ channel, ended }: RemoteProcess, options: ExecOptions): Promise<ExecResult> {
  const { signal, onLine, keepBytes = KEEP_BYTES } = options
  const stdout = new OutputTail(keepBytes, onLine && ((line) => onLine(line, 'stdout')))
  const stderr = new OutputTail(keepBytes, onLine && ((line) => onLine(line, 'stderr')))
  channel.on('data', (chunk: Buffer) => stdout.push(chunk))
  channel.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  // A process that ends before it has read its input breaks the pipe: its exit status tells more.
  channel.on('error', () => {})
  let abort = () => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => {
      // The server answers a close only once the process has gone, which may be never.
      channel.close()
      if (signal) reject(cancelled(signal))
    }
  })
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort, { once: true })
  channel.end(options.stdin ?? '')
  try {
    const status = await Promise.race([ended, aborted])
    stdout.end()
    stderr.end()
    return { ...status, stdout: stdout.text, stderr: stderr.text }
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
