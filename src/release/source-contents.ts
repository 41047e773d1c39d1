import { createHash, hash as digestOf } from 'node:crypto'
import { closeSync, readSync } from 'node:fs'
import type { ByteString } from '../ssh/byte-string.ts'
import type { UnhashedFile } from './manifest.ts'
import { HASH_BYTES } from './packed-manifest.ts'
import { isOfSystem, openEntry, unreadable } from './source-file.ts'
import type { Tell } from './source-reader.ts'

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

/** Reads and hashes files, and tells of them in batches. */
export class Reading {
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

  file(entry: UnhashedFile): void {
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
