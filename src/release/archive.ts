import { quote } from '../ssh/quote.ts'
import type { ByteString } from '../ssh/remote-shell.ts'
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

export const CHUNK = 256 * 1024

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
 * two tars that both miss one get into each other's way when they make it for their files.
 */
export async function* archive(
  queue: Iterator<Piece>,
  extra: () => readonly Extra[],
  { send, tree, mtime }: Content,
  progress: Progress,
): AsyncGenerator<Buffer> {
  const chunks = new ChunkJoiner()
  for (const { path, type, mode } of send.ofType('folder')) {
    yield* chunks.add(tarHeader({ name: `tree/${path}`, type, mode, mtime, size: 0 }))
  }
  for (let next = queue.next(); next.done !== true; next = queue.next()) {
    const { entry, from, to, name } = next.value
    if (entry.type === 'link') {
      yield* chunks.add(tarHeader({ name, type: 'link', mode: 0o777, mtime, size: 0, to: entry.to }))
      continue
    }
    const isPart = to - from < entry.size
    const mode = isPart ? 0o600 : entry.mode
    yield* chunks.add(tarHeader({ name, type: 'file', mode, mtime, size: to - from }))
    const small = isPart ? undefined : tree.readSmall(entry)
    if (small !== undefined) yield* chunks.add(small)
    else
      for await (const piece of tree.readPart(entry, from, to)) {
        progress.sent(piece.length)
        yield* chunks.add(piece)
      }
    if (small !== undefined) progress.sent(small.length)
    yield* chunks.add(tarPadding(to - from))
    if (to === entry.size) progress.fileSent()
  }
  for (const { name, size, pieces } of extra()) {
    yield* chunks.add(tarHeader({ name, type: 'file', mode: 0o600, mtime, size }))
    for (const piece of pieces()) yield* chunks.add(piece)
    yield* chunks.add(tarPadding(size))
  }
  yield* chunks.add(tarEnd())
  yield chunks.rest()
}

/** Headers and small files would each be a packet of their own. */
class ChunkJoiner {
  #joined = Buffer.allocUnsafeSlow(CHUNK)
  #used = 0;

  *add(part: Buffer): Generator<Buffer> {
    if (part.length > this.#joined.length - this.#used) {
      yield this.rest()
      if (part.length >= CHUNK) {
        yield part
        return
      }
    }
    part.copy(this.#joined, this.#used)
    this.#used += part.length
  }

  rest(): Buffer {
    const joined = this.#joined.subarray(0, this.#used)
    this.#joined = Buffer.allocUnsafeSlow(CHUNK)
    this.#used = 0
    return joined
  }
}
