import { createHash, hash as digestOf, type Hash } from 'node:crypto'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString, toByteString } from '../ssh/byte-string.ts'
import type { FileStatus, Sftp } from '../ssh/sftp.ts'
import {
  ifThere,
  inParallel,
  makeFolder,
  makeFolders,
  readFile,
  readPieces,
  removeTree,
  writeFile,
} from '../ssh/sftp-files.ts'
import { decodeManifest, type Entry, type Manifest, makeManifest } from './manifest.ts'
import type { SftpLease } from './sftp-lease.ts'

/** What both ways of serving need to work on a server through SFTP. Paths are absolute byte strings. */
export class SftpDesk {
  readonly sftp: Sftp
  /** The site's root. */
  readonly root: ByteString
  /** The folder of the action. */
  readonly state: ByteString
  /** Random, of this connection. */
  readonly mark: string
  readonly log: Context['log']
  /** Undefined in a dry run, which changes nothing. */
  lease: SftpLease | undefined
  #count = 0

  constructor(sftp: Sftp, root: ByteString, state: ByteString, mark: string, log: Context['log']) {
    this.sftp = sftp
    this.root = root
    this.state = state
    this.mark = mark
    this.log = log
  }

  /** Throws unless this run still holds the site's lock. To be called right before anything is changed. */
  readonly guard = (): void => {
    if (this.lease === undefined) throw new TypeError('a change without the lock')
    this.lease.assertHeld()
  }

  /** A path in the folder that goes with the lock. */
  scratch(name: string): ByteString {
    this.guard()
    return `${this.lease?.folder}/${name}.${this.#count++}`
  }

  async rename(from: ByteString, to: ByteString): Promise<void> {
    this.guard()
    await this.sftp.rename(from, to)
  }

  /** Puts a small file into its place by one rename, which fails once another holds the lock. */
  async commit(path: ByteString, text: ByteString): Promise<void> {
    const fresh = this.scratch('file')
    await writeFile(this.sftp, fresh, Buffer.from(text, 'latin1'))
    await this.rename(fresh, path)
  }

  /** Takes a file or folder out of the way by one rename; it is gone with the lock. Nothing where there is none. */
  async retire(path: ByteString): Promise<void> {
    const aside = this.scratch('gone')
    await ifThere(this.sftp.rename(path, aside))
  }

  async firstLine(path: ByteString): Promise<ByteString> {
    return (await this.lines(path))[0] ?? ''
  }

  /** Lines of a small file, none where it is missing. */
  async lines(path: ByteString): Promise<ByteString[]> {
    const text = await ifThere(readFile(this.sftp, path))
    return text === undefined ? [] : text.toString('latin1').split('\n')
  }

  async manifest(path: ByteString): Promise<Manifest | undefined> {
    const stored = await ifThere(readFile(this.sftp, path))
    return stored === undefined
      ? undefined
      : decodeManifest(stored, { host: this.sftp.host, path: fromByteString(path) })
  }

  /** First 128 bits of the SHA-256 of a file on the server, which comes here for it. */
  async hash(path: ByteString): Promise<string> {
    let first: Buffer | undefined
    let hash: Hash | undefined
    for await (const piece of readPieces(this.sftp, path)) {
      if (first === undefined) first = piece
      else {
        hash ??= createHash('sha256').update(first)
        hash.update(piece)
      }
    }
    // Most files are small, and what is made for each of a hundred thousand stays in memory for a while.
    return hash?.digest().toString('hex', 0, 16) ?? digestOf('sha256', first ?? '', 'hex').slice(0, 32)
  }

  /** What lies there, by what the files hold; symbolic links without where they lead, so that they are made anew. */
  async hashed(root: ByteString, listed: ReadonlyMap<ByteString, FileStatus>): Promise<Manifest> {
    const hashes = new Map<ByteString, string>()
    await inParallel(listed, async ([path, { kind }]) => {
      if (kind === 'file') hashes.set(path, await this.hash(`${root}/${path}`))
    })
    return makeManifest(
      (function* () {
        for (const [path, status] of listed) {
          const entry = toEntry(path, status, hashes.get(path) ?? '')
          if (entry !== undefined) yield entry
        }
      })(),
    )
  }

  /** Takes up what an unfinished upload of a release has brought, under this run's mark, or makes a new place for it. */
  async takeStage(release: string): Promise<{ stage: ByteString; isOld: boolean }> {
    const stage = `${this.state}/staging/${release}+${this.mark}`
    const left = (await this.sftp.readdir(`${this.state}/staging`))
      .filter(({ name, kind }) => kind === 'folder' && name.startsWith(`${release}+`))
      .sort((a, b) => b.mtime - a.mtime)
    const [newest, ...older] = left
    for (const { name } of older) await this.retire(`${this.state}/staging/${name}`)
    this.guard()
    if (newest === undefined) {
      await this.sftp.mkdir(stage, 0o700)
      await this.sftp.mkdir(`${stage}/tree`, 0o700)
      return { stage, isOld: false }
    }
    await this.rename(`${this.state}/staging/${newest.name}`, stage)
    await makeFolder(this.sftp, `${stage}/tree`, 0o700)
    return { stage, isOld: true }
  }

  /** Folders for what is shared between releases. */
  async makeShared(linked: readonly string[]): Promise<void> {
    for (const path of linked) {
      const folder = path.endsWith('/') ? path.slice(0, -1) : path.split('/').slice(0, -1).join('/')
      this.guard()
      await makeFolders(this.sftp, `${this.root}/shared/${toByteString(folder)}`, 0o755)
    }
  }

  /** What nobody will take up again: unfinished uploads, and what dead runs left of their locks. */
  async sweep(): Promise<void> {
    const { state, sftp } = this
    const [staging, all] = await Promise.all([sftp.readdir(`${state}/staging`), sftp.readdir(state)])
    const left = [
      ...staging.map(({ name }) => `${state}/staging/${name}`),
      ...all.filter(({ name }) => /^lease\.gone\./.test(name)).map(({ name }) => `${state}/${name}`),
      `${state}/trash`,
    ]
    for (const path of left) await this.retire(path)
    // Somebody may be waiting for the lock by one of these.
    for (const { name, mtime } of all.filter(({ name }) => /^lease\.new\./.test(name))) {
      const beat = await ifThere(sftp.lstat(`${state}/${name}/${name.slice('lease.new.'.length)}/beat`))
      const now = (await sftp.lstat(`${this.lease?.folder}/beat`)).mtime
      if (now - (beat?.mtime ?? mtime) > 3600) await removeTree(sftp, `${state}/${name}`)
    }
  }
}

export function toEntry(path: ByteString, status: FileStatus, hash: string): Entry | undefined {
  const { kind, size, mode } = status
  if (kind === 'file') return { type: 'file', path, mode, size, hash }
  if (kind === 'folder') return { type: 'folder', path, mode }
  return kind === 'link' ? { type: 'link', path, to: '' } : undefined
}

/** A failure with what a person needs to know. */
export function siteFailure(desk: SftpDesk, what: string, hint: string, seen?: ByteString): Failure {
  return new Failure(fromByteString(what), {
    host: desk.sftp.host,
    hint,
    ...(seen === undefined ? {} : { seen: fromByteString(seen) }),
  })
}
