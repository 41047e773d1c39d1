import type { ByteString } from './byte-string.ts'
import type { Connection } from './connection.ts'
import { type Attributes, type Field, OpenFlags, Request, Status } from './sftp-packets.ts'
import { SftpSession } from './sftp-session.ts'

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
/** By the upper bits of a mode, stat(2)'s S_IFMT. */
const KINDS = new Map<number, FileStatus['kind']>([
  [0o100000, 'file'],
  [0o040000, 'folder'],
  [0o120000, 'link'],
])

/**
 * The operations of SFTP. Each is sent without waiting for the answers to those before; the protocol has the server
 * work on those for one file in the order in which they come (section 6.1 of the draft). Every path is a byte string.
 */
export class Sftp {
  readonly #session: SftpSession

  private constructor(session: SftpSession) {
    this.#session = session
  }

  /** Starts a session; throws a `Failure` where the server offers none. */
  static async open(connection: Connection): Promise<Sftp> {
    return new Sftp(await SftpSession.open(connection))
  }

  get host(): string {
    return this.#session.host
  }

  /** Names of the server's extensions. */
  get extensions(): ReadonlySet<string> {
    return this.#session.extensions
  }

  close(): void {
    this.#session.close()
  }

  /** Waits while so much is on its way that more would only fill memory. */
  whenRoom(): Promise<void> {
    return this.#session.whenRoom()
  }

  async lstat(path: ByteString): Promise<FileStatus> {
    const { answer } = await this.#session.ask('look at', path, Request.lstat, [{ bytes: path }])
    return fileStatus(answer.attributes())
  }

  async stat(path: ByteString): Promise<FileStatus> {
    const { answer } = await this.#session.ask('look at', path, Request.stat, [{ bytes: path }])
    return fileStatus(answer.attributes())
  }

  async setstat(path: ByteString, attributes: Attributes): Promise<void> {
    await this.#session.ask('change the mode of', path, Request.setstat, [{ bytes: path }, { attributes }])
  }

  async open(path: ByteString, flags: number, mode = 0o600): Promise<Handle> {
    const fields: Field[] = [{ bytes: path }, { int: flags }, { attributes: { mode } }]
    const what = flags & OpenFlags.write ? 'write' : 'read'
    const { answer } = await this.#session.ask(what, path, Request.open, fields)
    return Buffer.from(answer.buffer())
  }

  async closeHandle(handle: Handle): Promise<void> {
    await this.#session.ask('close a file', '', Request.close, [{ bytes: handle }])
  }

  async fsetstat(handle: Handle, attributes: Attributes): Promise<void> {
    await this.#session.ask('change the mode of a file', '', Request.fsetstat, [
      { bytes: handle },
      { attributes },
    ])
  }

  async write(handle: Handle, offset: number, data: Buffer): Promise<void> {
    await this.#session.ask('write a file', '', Request.write, [
      { bytes: handle },
      { long: offset },
      { bytes: data },
    ])
  }

  /** Undefined at the end of the file. May give less than was asked for. */
  async read(handle: Handle, offset: number, length: number): Promise<Buffer | undefined> {
    const fields = [{ bytes: handle }, { long: offset }, { int: length }]
    const { answer, code } = await this.#session.ask('read a file', '', Request.read, fields, length)
    return code === Status.end ? undefined : Buffer.from(answer.buffer())
  }

  /** What lies in a folder, without `.` and `..`. */
  async readdir(path: ByteString): Promise<NamedStatus[]> {
    const { answer } = await this.#session.ask('list', path, Request.opendir, [{ bytes: path }])
    const handle = Buffer.from(answer.buffer())
    const found: NamedStatus[] = []
    try {
      for (;;) {
        const { answer: names, code } = await this.#session.ask('list', path, Request.readdir, [
          { bytes: handle },
        ])
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
    await this.#session.ask('remove', path, Request.remove, [{ bytes: path }])
  }

  async rmdir(path: ByteString): Promise<void> {
    await this.#session.ask('remove', path, Request.rmdir, [{ bytes: path }])
  }

  async mkdir(path: ByteString, mode: number): Promise<void> {
    await this.#session.ask('make the folder', path, Request.mkdir, [
      { bytes: path },
      { attributes: { mode } },
    ])
  }

  /** Without symbolic links. */
  async realpath(path: ByteString): Promise<ByteString> {
    return this.#name('resolve', path, Request.realpath)
  }

  async readlink(path: ByteString): Promise<ByteString> {
    return this.#name('read the link', path, Request.readlink)
  }

  async #name(what: string, path: ByteString, type: number): Promise<ByteString> {
    const { answer } = await this.#session.ask(what, path, type, [{ bytes: path }])
    return answer.int() > 0 ? answer.text() : ''
  }

  /** In OpenSSH's order of the two paths (its PROTOCOL, 4.1), which others follow: see that the link reads right. */
  async symlink(to: ByteString, path: ByteString): Promise<void> {
    await this.#session.ask('make the link', path, Request.symlink, [{ bytes: to }, { bytes: path }])
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

  #extended(name: string, what: string, path: ByteString, fields: readonly Field[]) {
    return this.#session.ask(what, path, Request.extended, [{ bytes: name }, ...fields])
  }
}

function fileStatus({ size = 0, mode = 0, mtime = 0 }: Attributes): FileStatus {
  return { kind: KINDS.get(mode & 0o170000) ?? 'other', size, mode: mode & 0o777, mtime }
}
