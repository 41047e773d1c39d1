import { createHash, hash as digestOf } from 'node:crypto'
import { closeSync, lstatSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { describeError, Failure, type FailureDetails } from '../failure.ts'
import { type ByteString, toByteString } from '../ssh/byte-string.ts'
import { effectiveMode, parseModeChange } from './file-mode.ts'
import { pathMatcher } from './glob.ts'
import type { FileEntry, Manifest } from './manifest.ts'
import { type Columns, HASH_BYTES, ManifestBuilder } from './packed-manifest.ts'
import { openEntry, unreadable } from './source-file.ts'
import { Listing } from './source-listing.ts'

/** What is to be read. */
export interface SourceOrder {
  /** Absolute path of the folder. */
  readonly folder: string
  /** Globs of what is left out. */
  readonly exclude: readonly string[]
  /** As `parseModeChange` takes it; '' for none. */
  readonly chmod: string
}

/** What is told of it: all names, then batch by batch what they hold; or why it cannot go on. */
export type SourceNews =
  | { readonly listed: { readonly columns: Columns; readonly files: number; readonly rootMode: number } }
  | { readonly read: Batch }
  | { readonly failed: Omit<FailureDetails, 'cause'> & { readonly what: string } }

/** What the next entries hold, in the order of their paths. */
export interface Batch {
  /** Of files, the number of bytes that were read. */
  readonly sizes: Float64Array
  /** The manifest's, one behind the other. */
  readonly hashes: Uint8Array
  /** Where a file's content begins in `contents`; -1 where it is not kept. */
  readonly places: Int32Array
  readonly contents: Uint8Array | undefined
}

type Tell = (news: SourceNews, handedOver?: readonly ArrayBuffer[]) => void

/**
 * Small files, which take longer to open than to read, are kept from hashing to sending, up to this many bytes in all;
 * each costs some beyond its own.
 */
const KEEP_BYTES = 24 * 1024 * 1024
const KEEP_COST = 512
const SMALL_FILE = 32 * 1024
const PIECE = 256 * 1024
const BATCH_ENTRIES = 1024
const BATCH_CONTENTS = 1024 * 1024
const BATCH_READ = 4 * 1024 * 1024

/** The whole life of a thread that reads: it takes one order, carries it out, and ends. */
export function takeOrder(): void {
  const port = parentPort
  port?.once('message', (order: SourceOrder) => {
    readSource(order, (news, handedOver = []) => port.postMessage(news, handedOver))
  })
}

/** Lists a folder, then reads and hashes its files, and tells of it. Names are taken as bytes, whatever they hold. */
export function readSource(order: SourceOrder, tell: Tell): void {
  try {
    const manifest = listFolder(order, tell)
    const reading = new Reading(toByteString(order.folder), tell)
    for (const entry of manifest.values()) {
      if (entry.type === 'file') reading.file(entry)
      else reading.noFile()
    }
    reading.end()
  } catch (error) {
    // An error's class does not get through to the other thread.
    const { message: what, details } = asFailure(error)
    const { cause, ...texts } = details
    tell({ failed: { what, ...texts } })
  }
}

function listFolder({ folder, exclude, chmod }: SourceOrder, tell: Tell): Manifest {
  const modeChange = parseModeChange(chmod)
  const listing = new Listing(toByteString(folder), { exclude: pathMatcher(exclude), modeChange })
  const builder = new ManifestBuilder()
  let files = 0
  for (const entry of listing.entries('', 0)) {
    builder.add(entry)
    if (entry.type !== 'folder') files++
  }
  if (files === 0) {
    throw new Failure('the source folder holds no files', {
      seen: folder,
      state: 'nothing was changed.',
      hint: 'check that the build ran before this step, and the globs of `exclude`',
    })
  }
  const manifest = builder.finish()
  const rootMode = effectiveMode(lstatSync(folder).mode, true, modeChange)
  tell({ listed: { columns: manifest.columns, files, rootMode } })
  return manifest
}

function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  if (!isOfSystem(error)) throw error
  return new Failure('the source folder cannot be read', {
    seen: describeError(error),
    state: 'the site on the server is as it was.',
    hint: 'let the build come to its end before this step, and the user of the runner read all of the folder',
  })
}

const isOfSystem = (error: unknown) => error instanceof Error && 'syscall' in error

/** Puts what is read into batches. */
class Reading {
  readonly #root: ByteString
  readonly #tell: Tell
  readonly #piece = Buffer.allocUnsafeSlow(PIECE)
  #keep = KEEP_BYTES
  readonly #sizes = new Float64Array(BATCH_ENTRIES)
  readonly #hashes = Buffer.alloc(BATCH_ENTRIES * HASH_BYTES)
  readonly #places = new Int32Array(BATCH_ENTRIES)
  #count = 0
  #bytes = 0
  #contents = Buffer.allocUnsafeSlow(BATCH_CONTENTS)
  #used = 0

  constructor(root: ByteString, tell: Tell) {
    this.#root = root
    this.#tell = tell
  }

  noFile(): void {
    this.#add(0, '', -1)
  }

  file(entry: FileEntry): void {
    // Those before it need not wait for it.
    if (entry.size > PIECE) this.end()
    const file = openEntry(this.#root, entry)
    try {
      if (!this.#keepSmall(file, entry.size)) this.#hash(file, entry.size)
    } catch (error) {
      throw isOfSystem(error) ? unreadable(entry, error) : error
    } finally {
      closeSync(file)
    }
  }

  /** False where it is not kept, the file then being where it was. */
  #keepSmall(file: number, size: number): boolean {
    if (size > SMALL_FILE || size > this.#keep) return false
    // One byte more than was listed: what has another length is read in pieces to its end.
    if (this.#used + size + 1 > BATCH_CONTENTS) this.end()
    const place = this.#used
    if (readSync(file, this.#contents, place, size + 1, 0) !== size) return false
    this.#keep -= size + KEEP_COST
    this.#used += size
    this.#add(size, digestOf('sha256', this.#contents.subarray(place, this.#used), 'binary'), place)
    return true
  }

  #hash(file: number, expected: number): void {
    let piece = this.#next(file)
    if (piece.length === expected && expected < PIECE) {
      this.#add(expected, digestOf('sha256', piece, 'binary'), -1)
      return
    }
    const hash = createHash('sha256')
    let size = 0
    for (; piece.length > 0; piece = this.#next(file)) {
      hash.update(piece)
      size += piece.length
    }
    this.#add(size, hash.digest('binary'), -1)
  }

  #next(file: number): Buffer {
    return this.#piece.subarray(0, readSync(file, this.#piece, 0, PIECE, null))
  }

  #add(size: number, digest: ByteString, place: number): void {
    const at = this.#count++
    this.#sizes[at] = size
    this.#places[at] = place
    this.#hashes.write(digest, at * HASH_BYTES, HASH_BYTES, 'latin1')
    this.#bytes += size
    if (this.#count === BATCH_ENTRIES || this.#bytes >= BATCH_READ) this.end()
  }

  /** Tells what has come together. */
  end(): void {
    if (this.#count === 0) return
    const sizes = this.#sizes.slice(0, this.#count)
    const hashes = new Uint8Array(this.#hashes.subarray(0, this.#count * HASH_BYTES))
    const places = this.#places.slice(0, this.#count)
    const contents = this.#takeContents()
    this.#tell({ read: { sizes, hashes, places, contents } }, contents === undefined ? [] : [contents.buffer])
    this.#count = 0
    this.#bytes = 0
    this.#used = 0
  }

  /** In memory that may change hands: a copy where it would be much for little. */
  #takeContents(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#used === 0) return undefined
    const contents = this.#contents.subarray(0, this.#used)
    if (this.#used < BATCH_CONTENTS / 2) return new Uint8Array(contents)
    this.#contents = Buffer.allocUnsafeSlow(BATCH_CONTENTS)
    return contents
  }
}
