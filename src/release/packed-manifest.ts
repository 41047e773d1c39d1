import type { ByteString } from '../ssh/byte-string.ts'
import type { Entry, FileEntry, Manifest, Total, UnhashedEntry } from './manifest.ts'

// Columns instead of objects: a site of a hundred thousand files takes some 8 MB, a tenth of what objects would.

const TYPES = ['file', 'folder', 'link'] as const
const FILE = TYPES.indexOf('file')
/** As many of a SHA-256's as a manifest has. */
export const HASH_BYTES = 16

/** Collects entries; those in the order of their paths' bytes need no sorting. */
export class ManifestBuilder {
  #names = Buffer.allocUnsafe(4096)
  #ends = new Uint32Array(64)
  #types = new Uint8Array(64)
  #modes = new Int16Array(64)
  #sizes = new Float64Array(64)
  #hashes = Buffer.allocUnsafe(64 * HASH_BYTES)
  readonly #targets = new Map<number, ByteString>()
  readonly #kept = new Map<number, number>()
  #count = 0
  #last: ByteString = ''
  #isSorted = true

  add(entry: Entry): void {
    const at = this.#count++
    const { path, type } = entry
    const start = at === 0 ? 0 : (this.#ends[at - 1] ?? 0)
    this.#reserve(at + 1, start + path.length)
    if (at > 0 && path <= this.#last) this.#isSorted = false
    this.#last = path
    this.#names.write(path, start, 'latin1')
    this.#ends[at] = start + path.length
    this.#types[at] = TYPES.indexOf(type)
    this.#modes[at] = type === 'link' ? 0 : entry.mode
    this.#sizes[at] = type === 'file' ? entry.size : 0
    if (type === 'file' && entry.hash !== '')
      this.#hashes.write(entry.hash, at * HASH_BYTES, HASH_BYTES, 'hex')
    if (type === 'link') this.#targets.set(at, entry.to)
    if (entry.kept !== undefined) this.#kept.set(at, entry.kept)
  }

  finish(): PackedManifest {
    const columns = {
      names: this.#names,
      ends: this.#ends,
      types: this.#types,
      modes: this.#modes,
      sizes: this.#sizes,
      hashes: this.#hashes,
      targets: this.#targets,
      kept: this.#kept,
      count: this.#count,
    }
    const manifest = new PackedManifest(columns)
    return this.#isSorted ? manifest : sorted(manifest)
  }

  #reserve(count: number, bytes: number): void {
    if (bytes > this.#names.length) this.#names = grown(this.#names, Buffer.allocUnsafe(bytes * 2))
    const room = this.#ends.length
    if (count <= room) return
    this.#ends = grown(this.#ends, new Uint32Array(room * 2))
    this.#types = grown(this.#types, new Uint8Array(room * 2))
    this.#modes = grown(this.#modes, new Int16Array(room * 2))
    this.#sizes = grown(this.#sizes, new Float64Array(room * 2))
    this.#hashes = grown(this.#hashes, Buffer.allocUnsafe(room * 2 * HASH_BYTES))
  }
}

/** A manifest's content, in a form that one thread can give to another. */
export interface Columns {
  /** All paths, one behind the other, and where each ends. */
  readonly names: Uint8Array
  readonly ends: Uint32Array
  readonly types: Uint8Array
  readonly modes: Int16Array
  readonly sizes: Float64Array
  readonly hashes: Uint8Array
  /** By place: of links alone, and of what is kept from earlier releases. */
  readonly targets: ReadonlyMap<number, ByteString>
  readonly kept: ReadonlyMap<number, number>
  readonly count: number
}

export class PackedManifest implements Manifest {
  readonly columns: Columns
  readonly #names: Buffer
  readonly #hashes: Buffer
  #total: Total | undefined

  constructor(columns: Columns) {
    this.columns = columns
    this.#names = asBuffer(columns.names)
    this.#hashes = asBuffer(columns.hashes)
  }

  get size(): number {
    return this.columns.count
  }

  get keepsAny(): boolean {
    return this.columns.kept.size > 0
  }

  get(path: ByteString): Entry | undefined {
    const at = this.#find(path)
    return at === undefined ? undefined : this.at(at)
  }

  has(path: ByteString): boolean {
    return this.#find(path) !== undefined
  }

  /** Where a file's path is; found at once where it is that of the first file behind `last`. */
  placeOf(path: ByteString, last: number): number | undefined {
    const { types } = this.columns
    let next = last + 1
    while (next < this.size && types[next] !== FILE) next++
    return next < this.size && this.path(next) === path ? next : this.#find(path)
  }

  *keys(): Generator<ByteString> {
    for (let at = 0; at < this.size; at++) yield this.path(at)
  }

  *values(): Generator<Entry> {
    for (let at = 0; at < this.size; at++) yield this.at(at)
  }

  *unhashed(): Generator<UnhashedEntry> {
    for (let at = 0; at < this.size; at++) yield this.#unhashedAt(at)
  }

  at(at: number): Entry {
    const entry = this.#unhashedAt(at)
    return entry.type === 'file' ? { ...entry, hash: this.#hashAt(at) } : entry
  }

  #unhashedAt(at: number): UnhashedEntry {
    const { types, modes, sizes, targets, kept } = this.columns
    const path = this.path(at)
    const type = TYPES[types[at] ?? 0] ?? 'file'
    const mode = modes[at] ?? 0
    const entry: UnhashedEntry =
      type === 'file'
        ? { type, path, mode, size: sizes[at] ?? 0 }
        : type === 'folder'
          ? { type, path, mode }
          : { type, path, to: targets.get(at) ?? '' }
    const since = kept.get(at)
    return since === undefined ? entry : { ...entry, kept: since }
  }

  #hashAt(at: number): string {
    return this.#hashes.toString('hex', at * HASH_BYTES, (at + 1) * HASH_BYTES)
  }

  get total(): Total {
    if (this.#total === undefined) {
      let files = 0
      let bytes = 0
      for (const size of this.sizes()) {
        files++
        bytes += size
      }
      this.#total = { files, bytes }
    }
    return this.#total
  }

  fileFrom(place: number): FileEntry | undefined {
    for (let step = 0; step < this.size; step++) {
      const at = (place + step) % this.size
      if (this.columns.types[at] === FILE) return this.at(at) as FileEntry
    }
    return undefined
  }

  *sizes(): Generator<number> {
    const { types, sizes } = this.columns
    for (let at = 0; at < this.size; at++) if (types[at] === FILE) yield sizes[at] ?? 0
  }

  *hashes(): Generator<string> {
    const { types } = this.columns
    for (let at = 0; at < this.size; at++) if (types[at] === FILE) yield this.#hashAt(at)
  }

  *ofType<T extends Entry['type']>(type: T): Generator<Extract<Entry, { type: T }>> {
    const wanted = TYPES.indexOf(type)
    const { types } = this.columns
    for (let at = 0; at < this.size; at++) {
      if (types[at] === wanted) yield this.at(at) as Extract<Entry, { type: T }>
    }
  }

  /** What the entries from one on were found to hold; `hashes` one behind the other. */
  setContents(from: number, sizes: Float64Array, hashes: Uint8Array): void {
    this.columns.sizes.set(sizes, from)
    this.#total = undefined
    this.#hashes.set(hashes, from * HASH_BYTES)
  }

  comparePaths(a: number, b: number): number {
    const { ends } = this.columns
    return this.#names.compare(this.#names, this.#start(b), ends[b] ?? 0, this.#start(a), ends[a] ?? 0)
  }

  path(at: number): ByteString {
    return this.#names.toString('latin1', this.#start(at), this.columns.ends[at])
  }

  #start(at: number): number {
    return at === 0 ? 0 : (this.columns.ends[at - 1] ?? 0)
  }

  #find(path: ByteString): number | undefined {
    const names = this.#names
    const { ends } = this.columns
    const wanted = Buffer.from(path, 'latin1')
    let low = 0
    let high = this.size
    while (low < high) {
      const middle = (low + high) >>> 1
      const order = names.compare(wanted, 0, wanted.length, this.#start(middle), ends[middle] ?? 0)
      if (order === 0) return middle
      if (order < 0) low = middle + 1
      else high = middle
    }
    return undefined
  }
}

function sorted(manifest: PackedManifest): PackedManifest {
  const order = Uint32Array.from({ length: manifest.size }, (_, at) => at)
  order.sort((a, b) => manifest.comparePaths(a, b) || a - b)
  const builder = new ManifestBuilder()
  for (const [place, at] of order.entries()) {
    const next = order[place + 1]
    if (next === undefined || manifest.comparePaths(at, next) !== 0) builder.add(manifest.at(at))
  }
  return builder.finish()
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}
