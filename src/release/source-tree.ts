import { cancelled } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ByteString, toByteString } from '../ssh/byte-string.ts'
import type { Manifest, UnhashedFile } from './manifest.ts'
import { PackedManifest } from './packed-manifest.ts'
import { type OpenFile, openFile } from './source-file.ts'
import type { Batch, SourceNews } from './source-reader.ts'
import type { SourceThread } from './source-thread.ts'

/** The built site on this machine: its names, and what is known so far of what its files hold. */
export interface SourceTree {
  /** Complete when all is hashed. */
  readonly manifest: Manifest
  /** Mode of the folder itself. */
  readonly rootMode: number
  readonly files: number
  /** Resolves when all files have been read and hashed, which is done in the order of their paths. */
  hash(): Promise<void>
  /** The same up to one of them, for who cannot wait for all; undefined where it is hashed already. */
  whenHashed(path: ByteString): Promise<void> | undefined
  /** A file's content in pieces, each in its own memory; throws where its size is not what it was. */
  read(entry: UnhashedFile): Iterable<Buffer>
  /** The same for who brings the memory, from one place on. To be closed. */
  open(entry: UnhashedFile, from: number): OpenFile
  /** The content of a small file where it is kept from hashing. */
  kept(entry: UnhashedFile): Buffer | undefined
}

const PIECE = 256 * 1024

/**
 * Has a folder listed by a thread, which then goes on to read it; resolves with the names. Rejects where something in it
 * cannot be uploaded.
 */
export function listSource(thread: SourceThread, signal: AbortSignal): Promise<SourceTree> {
  return new Promise((resolve, reject) => {
    let tree: ReadTree | undefined
    const fail = (error: unknown) => {
      thread.stop()
      if (tree === undefined) reject(error)
      else tree.fail(error)
    }
    const abort = () => fail(cancelled(signal))
    const hear = (news: SourceNews) => {
      if ('failed' in news) {
        const { what, ...details } = news.failed
        fail(new Failure(what, details))
      } else if ('read' in news) tree?.take(news.read)
      else {
        const { columns, files, rootMode } = news.listed
        tree = new ReadTree(toByteString(thread.order.folder), new PackedManifest(columns), files, rootMode)
        resolve(tree)
      }
    }
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    else thread.read(hear).catch(fail)
  })
}

interface Waiting {
  readonly isThere: () => boolean
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** What has been told of the folder so far. */
class ReadTree implements SourceTree {
  readonly manifest: PackedManifest
  readonly files: number
  readonly rootMode: number
  readonly #root: ByteString
  readonly #slabs: Uint8Array[] = []
  /** By place: in which slab a file's content is kept, if it is, and from where on. */
  readonly #slabOf: Uint32Array
  readonly #starts: Int32Array
  /** The place that was last asked for. */
  #last = -1
  /** So many entries are hashed, and this path is the last one's. */
  #hashed = 0
  #upTo: ByteString = ''
  #failed: { readonly error: unknown } | undefined
  #waiting: Waiting[] = []

  constructor(root: ByteString, manifest: PackedManifest, files: number, rootMode: number) {
    this.#root = root
    this.manifest = manifest
    this.files = files
    this.rootMode = rootMode
    this.#slabOf = new Uint32Array(manifest.size)
    this.#starts = new Int32Array(manifest.size).fill(-1)
  }

  get #isComplete(): boolean {
    return this.#hashed === this.manifest.size
  }

  take({ sizes, hashes, places, contents }: Batch): void {
    this.manifest.setContents(this.#hashed, sizes, hashes)
    if (contents !== undefined) {
      this.#starts.set(places, this.#hashed)
      this.#slabOf.fill(this.#slabs.length, this.#hashed, this.#hashed + places.length)
      this.#slabs.push(contents)
    }
    this.#hashed += places.length
    this.#upTo = this.manifest.path(this.#hashed - 1)
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ isThere }) => !isThere())
    for (const { isThere, resolve } of waiting) if (isThere()) resolve()
  }

  /** No more will be told. */
  fail(error: unknown): void {
    if (this.#isComplete || this.#failed !== undefined) return
    this.#failed = { error }
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  async hash(): Promise<void> {
    if (!this.#isComplete) await this.#until(() => this.#isComplete)
  }

  whenHashed(path: ByteString): Promise<void> | undefined {
    const isThere = () => this.#isComplete || path <= this.#upTo
    return isThere() ? undefined : this.#until(isThere)
  }

  #until(isThere: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failed === undefined) this.#waiting.push({ isThere, resolve, reject })
      else reject(this.#failed.error)
    })
  }

  kept({ path }: UnhashedFile): Buffer | undefined {
    const place = this.manifest.placeOf(path, this.#last) ?? -1
    const slab = this.#slabs[this.#slabOf[place] ?? -1]
    const start = this.#starts[place] ?? -1
    this.#last = place
    if (slab === undefined || start < 0) return undefined
    return Buffer.from(slab.buffer, slab.byteOffset + start, this.manifest.columns.sizes[place])
  }

  open(entry: UnhashedFile, from: number): OpenFile {
    return openFile(this.#root, entry, from)
  }

  *read(entry: UnhashedFile): Generator<Buffer> {
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
