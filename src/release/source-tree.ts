import { createHash, hash as digestOf } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
} from 'node:fs'
import { setImmediate as letOthersRun } from 'node:timers/promises'
import { throwIfCancelled } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/remote-shell.ts'
import { effectiveMode, type ModeChange } from './file-mode.ts'
import type { Entry, FileEntry, LinkEntry, Manifest } from './manifest.ts'
import { ManifestBuilder, type PackedManifest } from './packed-manifest.ts'

export interface ScanOptions {
  /** Absolute path of the folder. */
  readonly folder: string
  readonly exclude: (path: ByteString) => boolean
  readonly modeChange: ModeChange | undefined
}

/** The built site on this machine. */
export interface SourceTree {
  readonly manifest: Manifest
  /** Mode of the folder itself. */
  readonly rootMode: number
  readonly files: number
  readonly bytes: number
  /** A file's content as it was hashed; throws when it is not the same any more. */
  read(entry: FileEntry): AsyncIterable<Buffer>
  /** Its bytes from one place up to before another. */
  readPart(entry: FileEntry, from: number, to: number): AsyncIterable<Buffer>
  /** The same for a small file, at once; undefined for a large one. */
  readSmall(entry: FileEntry): Buffer | undefined
}

/** Small files are kept from hashing to sending, up to this many bytes in all; each costs some beyond its own. */
const KEEP_BYTES = 24 * 1024 * 1024
const KEEP_COST = 512
const SMALL_FILE = 1024 * 1024
const PIECE = 256 * 1024
/** Files are read synchronously, which is the fastest by far for small ones; others run after this many ms. */
const SLICE_MS = 3

/** A folder whose names are known and allowed, its files not read yet. */
export interface SourceNames {
  readonly manifest: Manifest
  /** Reads and hashes the files. */
  hash(signal: AbortSignal): Promise<SourceTree>
}

/** Lists a folder; throws where something in it cannot be uploaded. Names are taken as bytes, whatever they hold. */
export async function listSource(options: ScanOptions, signal: AbortSignal): Promise<SourceNames> {
  const root = Buffer.from(options.folder)
  const pause = pauses(signal)
  const builder = new ManifestBuilder()
  let files = 0
  for (const entry of new Listing(root, options).entries('', 0)) {
    builder.add(entry)
    if (entry.type !== 'folder') files++
    if (pause.isDue()) await pause.take()
  }
  if (files === 0) {
    throw new Failure('the source folder holds no files', {
      seen: options.folder,
      state: 'nothing was changed.',
      hint: 'check that the build ran before this step, and the globs of `exclude`',
    })
  }
  const manifest = builder.finish()
  const rootMode = effectiveMode(lstatSync(root).mode, true, options.modeChange)
  return { manifest, hash: (later) => hashFiles(root, manifest, files, rootMode, later) }
}

async function hashFiles(
  root: Buffer,
  manifest: PackedManifest,
  files: number,
  rootMode: number,
  signal: AbortSignal,
): Promise<SourceTree> {
  const pause = pauses(signal)
  const contents = new KeptContents()
  let bytes = 0
  for (let at = 0; at < manifest.size; at++) {
    const entry = manifest.at(at)
    if (entry.type === 'file') {
      const file = openSync(locate(root, entry.path), 'r')
      try {
        const kept = contents.read(file, entry)
        if (kept !== undefined) {
          manifest.setContent(at, kept.length, digestOf('sha256', kept, 'buffer'))
          bytes += kept.length
        } else {
          const hash = createHash('sha256')
          let size = 0
          for (;;) {
            const piece = contents.piece(file)
            if (piece.length === 0) break
            hash.update(piece)
            size += piece.length
            if (pause.isDue()) await pause.take()
          }
          manifest.setContent(at, size, hash.digest())
          bytes += size
        }
      } finally {
        closeSync(file)
      }
    }
    if (pause.isDue()) await pause.take()
  }
  const readSmall = (entry: FileEntry) =>
    entry.size > SMALL_FILE ? undefined : (contents.get(entry.path) ?? readWhole(root, entry))
  return {
    manifest,
    rootMode,
    files,
    bytes,
    readSmall,
    readPart: (entry, from, to) => readPieces(root, entry, from, to),
    async *read(entry) {
      const small = readSmall(entry)
      if (small === undefined) yield* readPieces(root, entry, 0, entry.size)
      else yield small
    },
  }
}

/** Lets others run every few ms, and stops on a cancel. */
function pauses(signal: AbortSignal): { isDue(): boolean; take(): Promise<void> } {
  let end = performance.now() + SLICE_MS
  return {
    isDue: () => performance.now() >= end,
    async take() {
      throwIfCancelled(signal)
      await letOthersRun()
      end = performance.now() + SLICE_MS
    },
  }
}

/** The contents of small files, many in one buffer each, as far as there is room for them. */
class KeptContents {
  readonly #contents = new Map<ByteString, Buffer>()
  readonly #scratch = Buffer.allocUnsafeSlow(SMALL_FILE)
  #slab = Buffer.alloc(0)
  #used = 0
  #room = KEEP_BYTES

  get(path: ByteString): Buffer | undefined {
    return this.#contents.get(path)
  }

  /** Undefined where it is not kept, the file then being where it was. */
  read(file: number, { path, size }: FileEntry): Buffer | undefined {
    if (size > SMALL_FILE || size > this.#room) return undefined
    if (this.#slab.length - this.#used <= size) {
      this.#slab = Buffer.allocUnsafeSlow(SMALL_FILE + 1)
      this.#used = 0
    }
    // One byte more than was listed: what has another length is read in pieces to its end.
    if (readSync(file, this.#slab, this.#used, size + 1, 0) !== size) return undefined
    const content = this.#slab.subarray(this.#used, this.#used + size)
    this.#used += size
    this.#room -= size + KEEP_COST
    this.#contents.set(path, content)
    return content
  }

  /** The next piece of a file; it holds until the next call. */
  piece(file: number): Buffer {
    return this.#scratch.subarray(0, readSync(file, this.#scratch, 0, this.#scratch.length, null))
  }
}

class Listing {
  readonly #root: Buffer
  readonly #realRoot: Buffer
  readonly #options: ScanOptions

  constructor(root: Buffer, options: ScanOptions) {
    this.#root = root
    this.#realRoot = realpathSync.native(root, 'buffer')
    this.#options = options
  }

  /** In the order of the paths' bytes: what lies in a folder comes where its path with the slash belongs. */
  *entries(folder: ByteString, depth: number): Generator<Entry> {
    if (depth > 500) throw bad(folder, 'lies more than 500 folders deep')
    const names = readdirSync(locate(this.#root, folder), { encoding: 'buffer' })
    const listed = names.map((name) => name.toString('latin1'))
    const folders = new Set<string>()
    // A folder's name with a slash stands for what lies in it; it is known to be one when its own name has come.
    const order = [...listed, ...listed.map((name) => `${name}/`)].sort(byBytes)
    for (const name of order) {
      const isInside = name.endsWith('/')
      if (isInside && !folders.has(name)) continue
      const path = folder === '' ? name : `${folder}/${name}`
      if (isInside) {
        yield* this.entries(path.slice(0, -1), depth + 1)
        continue
      }
      if (this.#options.exclude(path)) continue
      const entry = this.#entry(path)
      if (entry.type === 'folder') folders.add(`${name}/`)
      yield entry
    }
  }

  #entry(path: ByteString): Entry {
    const stat = lstatSync(locate(this.#root, path))
    const mode = effectiveMode(stat.mode, stat.isDirectory(), this.#options.modeChange)
    if (stat.isDirectory()) return { type: 'folder', path, mode }
    if (stat.isFile()) return { type: 'file', path, mode, size: stat.size, hash: '' }
    if (stat.isSymbolicLink()) return this.#link(path)
    throw bad(path, 'is neither a file, a folder nor a symbolic link')
  }

  /** A link is kept as a link where it means the same on the server: relative, and inside the folder. */
  #link(path: ByteString): LinkEntry {
    const full = locate(this.#root, path)
    const to = readlinkSync(full, 'buffer').toString('latin1')
    if (to.startsWith('/')) throw bad(path, `is a symbolic link to an absolute path (${fromByteString(to)})`)
    if (leaves(path, to) || this.#reallyLeaves(full)) {
      throw bad(path, `is a symbolic link that leaves the folder (${fromByteString(to)})`)
    }
    return { type: 'link', path, to }
  }

  /** Follows the link through other links, where what it names exists. */
  #reallyLeaves(full: Buffer): boolean {
    try {
      const real = realpathSync.native(full, 'buffer').toString('latin1')
      const root = this.#realRoot.toString('latin1')
      return real !== root && !real.startsWith(root === '/' ? '/' : `${root}/`)
    } catch (error) {
      if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
      throw error
    }
  }
}

/** By the letters alone, which also holds for a link to something that does not exist. */
function leaves(path: ByteString, to: ByteString): boolean {
  let depth = path.split('/').length - 1
  for (const part of to.split('/')) {
    if (part === '..') depth--
    else if (part !== '' && part !== '.') depth++
    if (depth < 0) return true
  }
  return false
}

function bad(path: ByteString, what: string): Failure {
  return new Failure(`in the source folder, '${fromByteString(path)}' ${what}`, {
    state: 'nothing was changed.',
    hint: 'remove it, copy what it stands for, or name it in `exclude`',
  })
}

function locate(root: Buffer, path: ByteString): Buffer {
  return path === '' ? root : Buffer.concat([root, Buffer.from(`/${path}`, 'latin1')])
}

/** The server verifies the content; the size must be right already, or the archive would be torn. */
function readWhole(root: Buffer, entry: FileEntry): Buffer {
  const content = readFileSync(locate(root, entry.path))
  if (content.length !== entry.size) throw changed(entry)
  return content
}

async function* readPieces(root: Buffer, entry: FileEntry, from: number, to: number): AsyncGenerator<Buffer> {
  let left = to - from
  // To the end where that is the file's, which must not have grown.
  const end = to === entry.size ? Number.POSITIVE_INFINITY : to - 1
  const range = { highWaterMark: PIECE, start: from, end }
  for await (const piece of createReadStream(locate(root, entry.path), range)) {
    left -= (piece as Buffer).length
    if (left < 0) break
    yield piece as Buffer
  }
  if (left !== 0) throw changed(entry)
}

function changed({ path }: FileEntry): Failure {
  return new Failure(`'${fromByteString(path)}' changed while it was uploaded`, {
    state: 'the site on the server is as it was.',
    hint: 'let the build come to its end before this step',
  })
}

const byBytes = (a: ByteString, b: ByteString) => (a < b ? -1 : a > b ? 1 : 0)
