import type { ClientChannel } from 'ssh2'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString } from './byte-string.ts'
import type { Connection } from './connection.ts'
import { encodePacket, type Field, PacketReader, Request, Response, Status } from './sftp-packets.ts'

/** What the server said to one request. */
export class SftpError extends Failure {
  override readonly name = 'SftpError'
  readonly code: number

  constructor(host: string, what: string, code: number, message: string) {
    super(`the server could not ${what}`, { host, seen: message || `status ${code}` })
    this.code = code
  }
}

/** Requests on their way, and bytes in them: sshd's window for a channel is as large. */
const MAX_REQUESTS = 512
const MAX_BYTES = 2 * 1024 * 1024
/** On a slow link less is under way, so that a request of another kind gets through soon. */
const SLOW_ANSWER_MS = 4_000
const MIN_BYTES = 128 * 1024
const MAX_PACKET = 1024 * 1024

interface Waiting {
  resolve(answer: PacketReader, type: number): void
  reject(error: unknown): void
  readonly bytes: number
  readonly since: number
}

/**
 * Requests and their answers over one channel. A request is sent without waiting for the answers to those before, as
 * long as not too much is on its way.
 */
export class SftpSession {
  readonly host: string
  /** Names of the server's extensions. */
  readonly extensions: ReadonlySet<string>
  readonly #channel: ClientChannel
  readonly #waiting = new Map<number, Waiting>()
  /** Those for whom there is no room yet. */
  readonly #queue: (() => void)[] = []
  #bytes = 0
  #mayBytes = MAX_BYTES
  #next = 0
  #lost: Failure | undefined

  private constructor(host: string, channel: ClientChannel, extensions: ReadonlySet<string>) {
    this.host = host
    this.#channel = channel
    this.extensions = extensions
  }

  /** Starts a session; throws a `Failure` where the server offers none. */
  static async open(connection: Connection): Promise<SftpSession> {
    const channel = await connection.openSubsystem('sftp')
    const lost = () =>
      new Failure('the SFTP session ended in the middle of its work', {
        host: connection.name,
        seen: 'the server closed it',
        hint: 'run the job again: it looks at the state of the server first',
        // No process there gives anything up by itself.
        unsettled: true,
      })
    return new Promise((resolve, reject) => {
      let session: SftpSession | undefined
      const parser = new PacketSplitter((packet) => {
        if (session !== undefined) return session.#take(packet)
        session = new SftpSession(connection.name, channel, readVersion(packet))
        resolve(session)
      })
      channel.on('data', (chunk: Buffer) => {
        try {
          parser.push(chunk)
        } catch (error) {
          const failure = new Failure('the server speaks no SFTP that is understood', {
            host: connection.name,
            seen: error instanceof Error ? error.message : String(error),
          })
          reject(failure)
          if (session !== undefined) session.#end(failure)
          channel.destroy()
        }
      })
      channel.on('error', () => {})
      channel.stderr.resume()
      channel.once('close', () => {
        reject(lost())
        if (session !== undefined) session.#end(lost())
      })
      channel.write(encodePacket(Request.init, [{ int: 3 }]))
    })
  }

  close(): void {
    this.#channel.end()
  }

  /** Waits while so much is on its way that more would only fill memory. */
  async whenRoom(): Promise<void> {
    if (this.#hasRoom && this.#queue.length === 0) return
    await new Promise<void>((resolve) => this.#queue.push(resolve))
  }

  /**
   * Sends a request and waits for its answer. `what` and `path` tell people what could not be done; `expected` is how
   * many bytes the answer may have. Throws an `SftpError` with what the server says against it.
   */
  async ask(
    what: string,
    path: ByteString,
    type: number,
    fields: readonly Field[],
    expected = 0,
  ): Promise<{ answer: PacketReader; code: number }> {
    const id = this.#next++ >>> 0
    const packet = encodePacket(type, [{ int: id }, ...fields])
    const bytes = Math.max(packet.length, expected)
    const name = path === '' ? what : `${what} '${fromByteString(path)}'`
    return new Promise((resolve, reject) => {
      const send = () => {
        if (this.#lost !== undefined) return reject(this.#lost)
        this.#bytes += bytes
        this.#waiting.set(id, {
          bytes,
          since: performance.now(),
          reject,
          resolve: (answer, kind) => {
            if (kind !== Response.status) return resolve({ answer, code: Status.ok })
            const code = answer.int()
            if (code === Status.ok || code === Status.end) return resolve({ answer, code })
            const message = answer.isAtEnd ? '' : fromByteString(answer.text())
            reject(new SftpError(this.host, name, code, message))
          },
        })
        this.#channel.write(packet)
      }
      // In the order in which they were made.
      if (this.#hasRoom && this.#queue.length === 0) send()
      else this.#queue.push(send)
    })
  }

  get #hasRoom(): boolean {
    return this.#waiting.size < MAX_REQUESTS && this.#bytes < this.#mayBytes
  }

  #take(packet: Buffer): void {
    const reader = new PacketReader(packet)
    const type = reader.byte()
    const id = reader.int()
    const one = this.#waiting.get(id)
    if (one === undefined) throw new RangeError('an answer that nobody waits for')
    // First: one whose answer cannot be understood still waits, and is told by `#end`.
    one.resolve(reader, type)
    this.#waiting.delete(id)
    this.#bytes -= one.bytes
    if (performance.now() - one.since > SLOW_ANSWER_MS) {
      this.#mayBytes = Math.max(MIN_BYTES, Math.min(this.#mayBytes, this.#bytes))
    }
    while (this.#hasRoom && this.#queue.length > 0) this.#queue.shift()?.()
  }

  #end(failure: Failure): void {
    this.#lost ??= failure
    for (const one of this.#waiting.values()) one.reject(this.#lost)
    this.#waiting.clear()
    // Nothing is on its way any more: whoever asks from now on must not queue for room.
    this.#bytes = 0
    for (const send of this.#queue.splice(0)) send()
  }
}

function readVersion(packet: Buffer): ReadonlySet<string> {
  const reader = new PacketReader(packet)
  if (reader.byte() !== Response.version) throw new RangeError('its first packet is not its version')
  const version = reader.int()
  if (version !== 3) throw new RangeError(`version ${version} instead of 3`)
  const names = new Set<string>()
  while (!reader.isAtEnd) {
    names.add(reader.text())
    reader.buffer()
  }
  return names
}

/** Cuts what comes into packets. */
class PacketSplitter {
  readonly #onPacket: (packet: Buffer) => void
  #rest: Buffer = Buffer.alloc(0)

  constructor(onPacket: (packet: Buffer) => void) {
    this.#onPacket = onPacket
  }

  push(chunk: Buffer): void {
    this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    while (this.#rest.length >= 4) {
      const end = 4 + this.#rest.readUInt32BE(0)
      if (end > MAX_PACKET) throw new RangeError(`a packet of ${end} bytes`)
      if (this.#rest.length < end) return
      const packet = this.#rest.subarray(4, end)
      this.#rest = this.#rest.subarray(end)
      this.#onPacket(packet)
    }
  }
}
