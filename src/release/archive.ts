import type { ByteString } from '../ssh/byte-string.ts'
import { quote } from '../ssh/quote.ts'
import type { LinkEntry, Manifest, UnhashedFile } from './manifest.ts'
import type { Progress } from './progress.ts'
import type { SourceTree } from './source-tree.ts'
import { TarHeaders, type TarMember, tarEnd, tarPadding } from './tar-writer.ts'

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
  | { readonly entry: UnhashedFile; readonly name: ByteString; readonly from: number; readonly to: number }

export function* pieces(send: Manifest, partBytes: number): Generator<Piece, undefined> {
  let large = 0
  for (const entry of send.unhashed()) {
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
  const headers = new TarHeaders()
  for (const { path, type, mode } of send.ofType('folder')) {
    yield* chunk.add(headers.of({ name: `tree/${path}`, type, mode, mtime, size: 0 }))
  }
  for (let next = queue.next(); next.done !== true; next = queue.next()) {
    const piece = next.value
    const hashed = tree.whenHashed(piece.entry.path)
    if (hashed !== undefined) await hashed
    const header = headers.of(memberOf(piece, mtime))
    const content = contentAtHand(piece, tree)
    if (content === undefined) yield* fromDisk(piece, header, tree, chunk, progress)
    else {
      if (!chunk.fits(header, content)) yield chunk.take()
      chunk.putMember(header, content)
      progress.sent(content.length)
    }
    if (piece.entry.type === 'file' && piece.to === piece.entry.size) progress.fileSent()
  }
  await tree.hash()
  for (const { name, size, pieces } of extra()) {
    yield* chunk.add(headers.of({ name, type: 'file', mode: 0o600, mtime, size }))
    for (const piece of pieces()) yield* chunk.add(piece)
    yield* chunk.add(tarPadding(size))
  }
  yield* chunk.add(tarEnd())
  const rest = chunk.take()
  if (rest.length > 0) yield rest
}

function memberOf({ entry, name, from, to }: Piece, mtime: number): TarMember {
  if (entry.type === 'link') return { name, type: 'link', mode: 0o777, mtime, size: 0, to: entry.to }
  const size = to - from
  return { name, type: 'file', mode: size < entry.size ? 0o600 : entry.mode, mtime, size }
}

const NOTHING = Buffer.alloc(0)

/** Undefined where it must be read from disk. */
function contentAtHand({ entry, from, to }: Piece, tree: SourceTree): Buffer | undefined {
  if (entry.type === 'link') return NOTHING
  return to - from < entry.size ? undefined : tree.kept(entry)
}

/** Of a piece with content: its member, read into the chunk. */
function* fromDisk(
  { entry, from, to }: Piece,
  header: Buffer,
  tree: SourceTree,
  chunk: Chunk,
  progress: Progress,
): Generator<Buffer> {
  if (entry.type !== 'file') return
  yield* chunk.add(header)
  const file = tree.open(entry, from)
  try {
    for (let left = to - from; left > 0; ) {
      const count = chunk.fill(left, (room) => file.read(room))
      left -= count
      progress.sent(count)
      if (chunk.isFull) yield chunk.take()
    }
  } finally {
    file.close()
  }
  yield* chunk.add(tarPadding(to - from))
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

  /** Whether there is room for a small member as a whole. */
  fits(header: Buffer, content: Buffer): boolean {
    return header.length + content.length + tarPadding(content.length).length <= this.#size - this.#used
  }

  putMember(header: Buffer, content: Buffer): void {
    this.#put(header)
    this.#put(content)
    this.#put(tarPadding(content.length))
  }

  #put(part: Buffer): void {
    this.#bytes.set(part, this.#used)
    this.#used += part.length
  }

  /** Puts in a part of any size, and yields whenever it is full. */
  *add(part: Buffer): Generator<Buffer> {
    for (let at = 0; at < part.length; ) {
      const end = Math.min(part.length, at + this.#size - this.#used)
      this.#put(part.subarray(at, end))
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
