import type { ClientChannel } from 'ssh2'
import { Failure } from '../failure.ts'
import type { Connection } from './connection.ts'
import { type ByteString, fromByteString } from './remote-shell.ts'
import {
  type Attributes,
  encodePacket,
  type Field,
  OpenFlags,
  PacketReader,
  Request,
  Response,
  Status,
} from './sftp-packets.ts'

/** What the server said to one request. */
export class SftpError extends Failure {
  override readonly name = 'SftpError'
  readonly code: number

  constructor(host: string, what: string, code: number, message: string) {
    super(`the server could not ${what}`, { host, seen: message || `status ${code}` })
    this.code = code
  }
}

export interface FileStatus {
  readonly kind: 'file' | 'folder' | 'link' | 'other'
  readonly size: number
  /** Permission bits. */
  readonly mode: number
  /** Unix seconds, by the server's clock. */
  readonly mtime: number
}

export interface NamedStatus extends FileStatus {
  readonly name: ByteString
}

export interface FreeSpace {
  readonly bytes: number
  /** How many more files there may be. */
  readonly files: number
  readonly isReadOnly: boolean
}

/** An open file or folder. */
export type Handle = Buffer

/** Servers must take packets of this much data (the draft's section 3); most take more. */
export const SFTP_CHUNK = 32 * 1024
/** Requests on their way, and bytes in them: sshd's window for a channel is as large. */
const MAX_REQUESTS = 512
const MAX_BYTES = 2 * 1024 * 1024
/** On a slow link less is under way, so that a request of another kind gets through soon. */
const SLOW_ANSWER_MS = 4_000
const MIN_BYTES = 128 * 1024
const MAX_PACKET = 1024 * 1024
/** By the upper bits of a mode, stat(2)'s S_IFMT. */
const KINDS = new Map<number, FileStatus['kind']>([
  [0o100000, 'file'],
  [0o040000, 'folder'],
  [0o120000, 'link'],
])

interface Waiting {
  resolve(answer: PacketReader, type: number): void
  reject(error: unknown): void
  readonly bytes: number
  readonly since: number
}

/**
 * One SFTP session. Requests are sent without waiting for the answers to those before; the protocol has the server
 * work on those for one file in the order in which they come (section 6.1 of the draft). Every path is a byte string.
 */
export class Sftp {
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
  static async open(connection: Connection): Promise<Sftp> {
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
      let session: Sftp | undefined
      const parser = new PacketSplitter((packet) => {
        if (session !== undefined) return session.#take(packet)
        session = new Sftp(connection.name, channel, readVersion(packet))
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

  async lstat(path: ByteString): Promise<FileStatus> {
    const { answer } = await this.#ask('look at', path, Request.lstat, [{ bytes: path }])
    return fileStatus(answer.attributes())
  }

  async stat(path: ByteString): Promise<FileStatus> {
    const { answer } = await this.#ask('look at', path, Request.stat, [{ bytes: path }])
    return fileStatus(answer.attributes())
  }

  async setstat(path: ByteString, attributes: Attributes): Promise<void> {
    await this.#ask('change the mode of', path, Request.setstat, [{ bytes: path }, { attributes }])
  }

  async open(path: ByteString, flags: number, mode = 0o600): Promise<Handle> {
    const fields: Field[] = [{ bytes: path }, { int: flags }, { attributes: { mode } }]
    const what = flags & OpenFlags.write ? 'write' : 'read'
    const { answer } = await this.#ask(what, path, Request.open, fields)
    return Buffer.from(answer.buffer())
  }

  async closeHandle(handle: Handle): Promise<void> {
    await this.#ask('close a file', '', Request.close, [{ bytes: handle }])
  }

  async fsetstat(handle: Handle, attributes: Attributes): Promise<void> {
    await this.#ask('change the mode of a file', '', Request.fsetstat, [{ bytes: handle }, { attributes }])
  }

  async write(handle: Handle, offset: number, data: Buffer): Promise<void> {
    await this.#ask('write a file', '', Request.write, [{ bytes: handle }, { long: offset }, { bytes: data }])
  }

  /** Undefined at the end of the file. May give less than was asked for. */
  async read(handle: Handle, offset: number, length: number): Promise<Buffer | undefined> {
    const fields = [{ bytes: handle }, { long: offset }, { int: length }]
    const { answer, code } = await this.#ask('read a file', '', Request.read, fields, length)
    return code === Status.end ? undefined : Buffer.from(answer.buffer())
  }

  /** What lies in a folder, without `.` and `..`. */
  async readdir(path: ByteString): Promise<NamedStatus[]> {
    const { answer } = await this.#ask('list', path, Request.opendir, [{ bytes: path }])
    const handle = Buffer.from(answer.buffer())
    const found: NamedStatus[] = []
    try {
      for (;;) {
        const { answer: names, code } = await this.#ask('list', path, Request.readdir, [{ bytes: handle }])
        if (code === Status.end) return found
        for (let left = names.int(); left > 0; left--) {
          const name = names.text()
          // `ls -l` style, for people.
          names.buffer()
          const status = fileStatus(names.attributes())
          if (name !== '.' && name !== '..') found.push({ name, ...status })
        }
      }
    } finally {
      await this.closeHandle(handle)
    }
  }

  async remove(path: ByteString): Promise<void> {
    await this.#ask('remove', path, Request.remove, [{ bytes: path }])
  }

  async rmdir(path: ByteString): Promise<void> {
    await this.#ask('remove', path, Request.rmdir, [{ bytes: path }])
  }

  async mkdir(path: ByteString, mode: number): Promise<void> {
    await this.#ask('make the folder', path, Request.mkdir, [{ bytes: path }, { attributes: { mode } }])
  }

  /** Without symbolic links. */
  async realpath(path: ByteString): Promise<ByteString> {
    return this.#name('resolve', path, Request.realpath)
  }

  async readlink(path: ByteString): Promise<ByteString> {
    return this.#name('read the link', path, Request.readlink)
  }

  async #name(what: string, path: ByteString, type: number): Promise<ByteString> {
    const { answer } = await this.#ask(what, path, type, [{ bytes: path }])
    return answer.int() > 0 ? answer.text() : ''
  }

  /** In OpenSSH's order of the two paths (its PROTOCOL, 4.1), which others follow: see that the link reads right. */
  async symlink(to: ByteString, path: ByteString): Promise<void> {
    await this.#ask('make the link', path, Request.symlink, [{ bytes: to }, { bytes: path }])
  }

  /** rename(2): replaces what is there. */
  async rename(from: ByteString, to: ByteString): Promise<void> {
    await this.#extended('posix-rename@openssh.com', 'rename to', to, [{ bytes: from }, { bytes: to }])
  }

  async hardlink(from: ByteString, to: ByteString): Promise<void> {
    await this.#extended('hardlink@openssh.com', 'link', to, [{ bytes: from }, { bytes: to }])
  }

  /** Copies a whole open file into another on the server (draft-ietf-secsh-filexfer-extensions-00, section 7). */
  async copyData(from: Handle, to: Handle): Promise<void> {
    const whole = [{ bytes: from }, { long: 0 }, { long: 0 }, { bytes: to }, { long: 0 }]
    await this.#extended('copy-data', 'copy a file', '', whole)
  }

  /** What is free for this user where a folder lies; undefined where the server does not tell (its PROTOCOL, 4.4). */
  async freeSpace(path: ByteString): Promise<FreeSpace | undefined> {
    if (!this.extensions.has('statvfs@openssh.com')) return undefined
    const { answer } = await this.#extended('statvfs@openssh.com', 'look at', path, [{ bytes: path }])
    answer.long()
    const blockBytes = answer.long()
    answer.long()
    answer.long()
    const bytes = answer.long() * blockBytes
    const isCounted = answer.long() > 0
    answer.long()
    const free = answer.long()
    answer.long()
    const files = isCounted ? free : Number.POSITIVE_INFINITY
    return { bytes, files, isReadOnly: answer.long() % 2 === 1 }
  }

  /** Waits while so much is on its way that more would only fill memory. */
  async whenRoom(): Promise<void> {
    if (this.#hasRoom && this.#queue.length === 0) return
    await new Promise<void>((resolve) => this.#queue.push(resolve))
  }

  #extended(name: string, what: string, path: ByteString, fields: readonly Field[]) {
    return this.#ask(what, path, Request.extended, [{ bytes: name }, ...fields])
  }

  /** Sends a request and waits for its answer. `expected` is how many bytes the answer may have. */
  async #ask(
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
    this.#waiting.delete(id)
    this.#bytes -= one.bytes
    if (performance.now() - one.since > SLOW_ANSWER_MS) {
      this.#mayBytes = Math.max(MIN_BYTES, Math.min(this.#mayBytes, this.#bytes))
    }
    one.resolve(reader, type)
    while (this.#hasRoom && this.#queue.length > 0) this.#queue.shift()?.()
  }

  #end(failure: Failure): void {
    this.#lost ??= failure
    for (const one of this.#waiting.values()) one.reject(this.#lost)
    this.#waiting.clear()
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

function fileStatus({ size = 0, mode = 0, mtime = 0 }: Attributes): FileStatus {
  return { kind: KINDS.get(mode & 0o170000) ?? 'other', size, mode: mode & 0o777, mtime }
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
