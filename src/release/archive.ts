import type { ByteString } from '../ssh/byte-string.ts'
import { quote } from '../ssh/quote.ts'
import type { FileEntry, LinkEntry, Manifest } from './manifest.ts'
import type { Progress } from './progress.ts'
import type { SourceTree } from './source-tree.ts'
import { tarEnd, tarHeader, tarPadding } from './tar-writer.ts'

/** A file that travels beside the tree: a list, a script, the manifest. */
export interface Extra {
  readonly name: string
  readonly size: number
  pieces(): Iterable<Buffer>
}

export function extraOf(name: string, content: Buffer): Extra {
  return { name, size: content.length, pieces: () => [content] }
}

/** What is packed. */
export interface Content {
  readonly send: Manifest
  readonly tree: SourceTree
  /** Time of every file, in Unix seconds. */
  readonly mtime: number
}

/** A link, or what of a file one lane brings. */
type Piece =
  | { readonly entry: LinkEntry; readonly name: ByteString; readonly from: 0; readonly to: 0 }
  | { readonly entry: FileEntry; readonly name: ByteString; readonly from: number; readonly to: number }

export function* pieces(send: Manifest, partBytes: number): Generator<Piece, undefined> {
  let large = 0
  for (const entry of send.values()) {
    const name = `tree/${entry.path}`
    if (entry.type === 'link') yield { entry, name, from: 0, to: 0 }
    if (entry.type !== 'file') continue
    if (entry.size <= partBytes) {
      yield { entry, name, from: 0, to: entry.size }
      continue
    }
    large++
    for (let from = 0; from < entry.size; from += partBytes) {
      const part = `parts-${large}-${from / partBytes}`
      yield { entry, name: from === 0 ? name : part, from, to: Math.min(entry.size, from + partBytes) }
    }
  }
}

/** The script by which the server puts the parts together; its own time is the one that files get. */
export function joining(send: Manifest, partBytes: number): Extra[] {
  if (partBytes === Number.POSITIVE_INFINITY) return []
  const lines: ByteString[] = []
  let large = 0
  for (const { path, size, mode } of send.ofType('file')) {
    if (size <= partBytes) continue
    large++
    const whole = quote(`tree/${path}`)
    for (let part = 1; part * partBytes < size; part++) {
      const name = `parts-${large}-${part}`
      lines.push(`cat ${name} >>${whole}`, `rm ${name}`)
    }
    lines.push(`chmod ${mode.toString(8)} ${whole}`, `touch -r join.sh ${whole}`)
  }
  return lines.length === 0 ? [] : [extraOf('join.sh', Buffer.from(`${lines.join('\n')}\n`, 'latin1'))]
}

/**
 * What one lane brings: files as the lane gets round to them, and `extra` at its end. Every lane brings all folders first:
 * two tars that both miss one get into each other's way when they make it for their files. A chunk holds until the next
 * but one is asked for; it has at most `chunkBytes`.
 */
export async function* archive(
  queue: Iterator<Piece>,
  extra: () => readonly Extra[],
  { send, tree, mtime }: Content,
  chunkBytes: number,
  progress: Progress,
): AsyncGenerator<Buffer> {
  const chunk = new Chunk(chunkBytes)
  for (const { path, type, mode } of send.ofType('folder')) {
    yield* chunk.add(tarHeader({ name: `tree/${path}`, type, mode, mtime, size: 0 }))
  }
  for (let next = queue.next(); next.done !== true; next = queue.next()) {
    const { entry, from, to, name } = next.value
    const hashed = tree.whenHashed(entry.path)
    if (hashed !== undefined) await hashed
    if (entry.type === 'link') {
      yield* chunk.add(tarHeader({ name, type: 'link', mode: 0o777, mtime, size: 0, to: entry.to }))
      continue
    }
    const size = to - from
    const isPart = size < entry.size
    const mode = isPart ? 0o600 : entry.mode
    const header = tarHeader({ name, type: 'file', mode, mtime, size })
    const padding = tarPadding(size)
    const kept = isPart ? undefined : tree.kept(entry)
    if (kept !== undefined) {
      if (!chunk.fits(header.length + size + padding.length)) yield chunk.take()
      chunk.put(header)
      chunk.put(kept)
      chunk.put(padding)
      progress.sent(size)
    } else {
      yield* chunk.add(header)
      const file = tree.open(entry, from)
      try {
        for (let left = size; left > 0; ) {
          const count = chunk.fill(left, (room) => file.read(room))
          left -= count
          progress.sent(count)
          if (chunk.isFull) yield chunk.take()
        }
      } finally {
        file.close()
      }
      yield* chunk.add(padding)
    }
    if (to === entry.size) progress.fileSent()
  }
  await tree.hash()
  for (const { name, size, pieces } of extra()) {
    yield* chunk.add(tarHeader({ name, type: 'file', mode: 0o600, mtime, size }))
    for (const piece of pieces()) yield* chunk.add(piece)
    yield* chunk.add(tarPadding(size))
  }
  yield* chunk.add(tarEnd())
  const rest = chunk.take()
  if (rest.length > 0) yield rest
}

/** Gathers headers and small files, which would each be a packet of their own, in one of two buffers by turns. */
class Chunk {
  readonly #size: number
  #bytes: Buffer
  #other: Buffer
  #used = 0

  constructor(size: number) {
    this.#size = size
    this.#bytes = Buffer.allocUnsafeSlow(size)
    this.#other = Buffer.allocUnsafeSlow(size)
  }

  get isFull(): boolean {
    return this.#used === this.#size
  }

  fits(size: number): boolean {
    return size <= this.#size - this.#used
  }

  put(part: Buffer): void {
    this.#bytes.set(part, this.#used)
    this.#used += part.length
  }

  /** Puts in a part of any size, and yields whenever it is full. */
  *add(part: Buffer): Generator<Buffer> {
    for (let at = 0; at < part.length; ) {
      const end = Math.min(part.length, at + this.#size - this.#used)
      this.put(part.subarray(at, end))
      at = end
      if (this.isFull) yield this.take()
    }
  }

  /** Has at most so many bytes read into its room; returns how many have been. */
  fill(most: number, read: (room: Buffer) => number): number {
    const count = read(this.#bytes.subarray(this.#used, Math.min(this.#size, this.#used + most)))
    this.#used += count
    return count
  }

  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#used)
    const other = this.#other
    this.#other = this.#bytes
    this.#bytes = other
    this.#used = 0
    return taken
  }
}
