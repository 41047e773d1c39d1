import { createHash, hash as digestOf, type Hash } from 'node:crypto'
import { closeSync, fstatSync, lstatSync, openSync, readSync } from 'node:fs'
import { setImmediate as letOthersRun } from 'node:timers/promises'
import { throwIfCancelled } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { type ByteString, fromByteString, toByteString } from '../ssh/byte-string.ts'
import { effectiveMode } from './file-mode.ts'
import type { FileEntry, Manifest } from './manifest.ts'
import { ManifestBuilder, type PackedManifest } from './packed-manifest.ts'
import { Listing, locate, type ScanOptions } from './source-listing.ts'

/** The built site on this machine: its names, and what `hash` has found out so far. */
export interface SourceTree {
  /** Complete when all is hashed. */
  readonly manifest: Manifest
  /** Mode of the folder itself. */
  readonly rootMode: number
  readonly files: number
  /** Reads and hashes the files in the order of their paths: the first call begins it, and all get its end. */
  hash(): Promise<void>
  /** The same up to one of them, for who cannot wait for all; undefined where it is hashed already. */
  whenHashed(path: ByteString): Promise<void> | undefined
  /** A file's content in pieces, each in its own memory; throws where its size is not what it was. */
  read(entry: FileEntry): Iterable<Buffer>
  /** The same for who brings the memory, from one place on. To be closed. */
  open(entry: FileEntry, from: number): OpenFile
  /** The content of a small file where it is kept from hashing. */
  kept(entry: FileEntry): Buffer | undefined
}

interface OpenFile {
  /** Reads at least a byte and at most what there is room for, and says how much; throws at the file's end. */
  read(room: Buffer): number
  close(): void
}

/**
 * Small files, which take longer to open than to read, are kept from hashing to sending, up to this many bytes in all; each
 * costs some beyond its own.
 */
const KEEP_BYTES = 24 * 1024 * 1024
const KEEP_COST = 512
const SMALL_FILE = 32 * 1024
const SLAB = 1024 * 1024
const PIECE = 256 * 1024
/** Files are read synchronously, which is the fastest by far for small ones; others run after this many ms. */
const SLICE_MS = 3

/** Lists a folder; throws where something in it cannot be uploaded. Names are taken as bytes, whatever they hold. */
export async function listSource(options: ScanOptions, signal: AbortSignal): Promise<SourceTree> {
  const root = toByteString(options.folder)
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
  const rootMode = effectiveMode(lstatSync(options.folder).mode, true, options.modeChange)
  return new ListedTree(root, builder.finish(), files, rootMode, signal)
}

/** A file that is being hashed. */
interface Hashing {
  readonly file: number
  readonly hash: Hash
  size: number
}

class ListedTree implements SourceTree {
  readonly manifest: PackedManifest
  readonly rootMode: number
  readonly files: number
  readonly #root: ByteString
  readonly #contents = new KeptContents()
  readonly #scratch = Buffer.allocUnsafeSlow(PIECE)
  readonly #signal: AbortSignal
  #hashing: Promise<void> | undefined
  /** The entry that is next, and what is known of it where it is a large file. */
  #at = 0
  #large: Hashing | undefined
  #hashedUpTo: ByteString = ''

  constructor(
    root: ByteString,
    manifest: PackedManifest,
    files: number,
    rootMode: number,
    signal: AbortSignal,
  ) {
    this.#root = root
    this.manifest = manifest
    this.files = files
    this.rootMode = rootMode
    this.#signal = signal
  }

  hash(): Promise<void> {
    this.#hashing ??= this.#hashUntil(() => this.#at === this.manifest.size)
    return this.#hashing
  }

  whenHashed(path: ByteString): Promise<void> | undefined {
    const isHashed = () => path <= this.#hashedUpTo || this.#at === this.manifest.size
    return isHashed() ? undefined : this.#hashUntil(isHashed)
  }

  /** Who waits for a file does the work itself; several who do take turns. */
  async #hashUntil(isThere: () => boolean): Promise<void> {
    const pause = pauses(this.#signal)
    while (!isThere()) {
      this.#hashOn()
      if (pause.isDue()) await pause.take()
    }
  }

  /** Hashes one file, or a piece of a large one. */
  #hashOn(): void {
    const entry = this.manifest.at(this.#at)
    if (entry.type === 'file' && !this.#hashFile(entry)) return
    this.#hashedUpTo = entry.path
    this.#at++
  }

  #hashFile(entry: FileEntry): boolean {
    if (this.#large !== undefined) return this.#hashPiece(this.#large)
    const file = openEntry(this.#root, entry)
    try {
      const content = this.#contents.read(file, entry) ?? readPiece(file, this.#scratch)
      if (content.length === entry.size && content.length < this.#scratch.length) {
        this.manifest.setContent(this.#at, content.length, digestOf('sha256', content, 'buffer'))
        return true
      }
      this.#large = { file, hash: createHash('sha256').update(content), size: content.length }
      return false
    } finally {
      if (this.#large === undefined) closeSync(file)
    }
  }

  #hashPiece(large: Hashing): boolean {
    const piece = readPiece(large.file, this.#scratch)
    large.hash.update(piece)
    large.size += piece.length
    if (piece.length > 0) return false
    this.manifest.setContent(this.#at, large.size, large.hash.digest())
    this.#large = undefined
    closeSync(large.file)
    return true
  }

  kept({ path }: FileEntry): Buffer | undefined {
    return this.#contents.get(path)
  }

  open(entry: FileEntry, from: number): OpenFile {
    return openFile(this.#root, entry, from)
  }

  *read(entry: FileEntry): Generator<Buffer> {
    const kept = this.kept(entry)
    if (kept !== undefined) {
      yield kept
      return
    }
    const file = this.open(entry, 0)
    try {
      for (let left = entry.size; left > 0; ) {
        const room = Buffer.allocUnsafeSlow(Math.min(left, PIECE))
        const piece = room.subarray(0, file.read(room))
        left -= piece.length
        yield piece
      }
    } finally {
      file.close()
    }
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
      this.#slab = Buffer.allocUnsafeSlow(SLAB)
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
}

/** What follows in a file, as far as there is room. */
function readPiece(file: number, room: Buffer): Buffer {
  return room.subarray(0, readSync(file, room, 0, room.length, null))
}

function openEntry(root: ByteString, entry: FileEntry): number {
  try {
    return openSync(locate(root, entry.path), 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw changed(entry)
    throw new Failure(`'${fromByteString(entry.path)}' cannot be read`, {
      seen: describeError(error),
      state: 'the site on the server is as it was.',
      hint: "let the runner's user read all files of the source folder",
      cause: error,
    })
  }
}

/** The server verifies the content; the size must be right already, or the archive would be torn. */
function openFile(root: ByteString, entry: FileEntry, from: number): OpenFile {
  const file = openEntry(root, entry)
  if (fstatSync(file).size !== entry.size) {
    closeSync(file)
    throw changed(entry)
  }
  let at = from
  return {
    read(room) {
      const count = readSync(file, room, 0, room.length, at)
      if (count === 0) throw changed(entry)
      at += count
      return count
    },
    close: () => closeSync(file),
  }
}

function changed({ path }: FileEntry): Failure {
  return new Failure(`'${fromByteString(path)}' changed while it was uploaded`, {
    state: 'the site on the server is as it was.',
    hint: 'let the build come to its end before this step',
  })
}
