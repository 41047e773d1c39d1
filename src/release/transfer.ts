import { createHash } from 'node:crypto'
import { Readable, Transform } from 'node:stream'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection, RemoteProcess } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import { type ByteString, fromByteString, openLane, pipeToScript } from '../ssh/remote-shell.ts'
import type { Comparison } from './comparison.ts'
import { type Codec, chooseCodec, uncompressed } from './compression.ts'
import { type Entry, encodeManifest, type FileEntry } from './manifest.ts'
import { type Progress, trackProgress } from './progress.ts'
import type { SourceTree } from './source-tree.ts'
import { tarEnd, tarHeader, tarPadding } from './tar-writer.ts'

export interface TransferPlan {
  readonly send: readonly Entry[]
  /** Files that travel beside the tree: lists, scripts, the manifest. */
  readonly extra: readonly [name: string, content: Buffer][]
  readonly tree: SourceTree
  /** Folder on the server that gets `tree/` and the lists beside it. */
  readonly stage: ByteString
  readonly tools: ReadonlySet<string>
  /** Opened beforehand. */
  readonly lane: Promise<RemoteProcess>
  /** Time of every file sent, in Unix seconds. */
  readonly mtime: number
}

export interface TransferResult {
  readonly bytesOnWire: number
  readonly codec: Codec['name']
  readonly lanes: number
}

const BYTES_FOR_LANES = 16 * 1024 * 1024
const LONG_PATH_MS = 60
const NEAR_MS = 1
const CHUNK = 256 * 1024
const SAMPLE = 256 * 1024

/** Digest over the hashes of the sent files, in order, as the server computes it; `-` where there are none. */
export function sentDigest(files: readonly FileEntry[]): string {
  if (files.length === 0) return '-'
  return createHash('sha256')
    .update(files.map(({ hash }) => `${hash}\n`).join(''))
    .digest('hex')
}

export function filesOf(entries: readonly Entry[]): FileEntry[] {
  return entries.filter((entry) => entry.type === 'file')
}

/** Sends what the comparison asks for. Resolves when the remote side has unpacked it all, not yet verified. */
export async function transfer(
  connection: Connection,
  plan: TransferPlan,
  context: Context,
): Promise<TransferResult> {
  const { send, extra, tree, stage, tools } = plan
  const files = filesOf(send)
  const total = files.reduce((sum, { size }) => sum + size, 0)
  const codec = isNear(connection) ? uncompressed : chooseCodec(tools, await takeSample(files, tree))
  const first = await plan.lane
  const lanes = splitIntoLanes(send, connection.isNarrow ? 1 : laneCount(connection, total))
  const progress = trackProgress({ files: files.length, bytes: total }, context)
  const code = `cd ${quote(stage)} && ${codec.unpack}tar -xpof -`
  const failed = new AbortController()
  const signal = AbortSignal.any([context.signal, failed.signal])
  try {
    await Promise.all(
      lanes.map(async (entries, index) => {
        const tar = archive(entries, index === 0 ? extra : [], plan, progress)
        try {
          const lane = index === 0 ? first : await openLane(connection)
          const input = compressed(tar, codec, progress)
          const result = await pipeToScript(connection.name, lane, code, input, signal)
          if (result.code !== 0) throw unpackFailure(connection, result.code, result.noise)
        } catch (error) {
          failed.abort(error)
          throw error
        }
      }),
    )
  } finally {
    progress.end()
  }
  return { bytesOnWire: progress.bytesOnWire, codec: codec.name, lanes: lanes.length }
}

/**
 * One channel fills at most its own window (2 MB in a round trip): several fill a long fat path. On a short one more
 * than three gain nothing.
 */
function laneCount({ roundTripMs }: Connection, bytes: number): number {
  if (bytes < BYTES_FOR_LANES) return 1
  return roundTripMs >= LONG_PATH_MS && bytes >= 4 * BYTES_FOR_LANES ? 6 : 3
}

/** On this machine or beside it: bytes travel faster there than they are compressed. */
const isNear = ({ roundTripMs }: Connection) => roundTripMs < NEAR_MS

/** Lists for the server, NUL-ended names; they travel in the archive as files beside the tree. */
export function lists(comparison: Comparison): [name: string, content: Buffer][] {
  const names = (paths: readonly ByteString[]) =>
    Buffer.from(paths.map((path) => `./${path}\0`).join(''), 'latin1')
  return [
    ['remove', names(comparison.removeFiles)],
    ['rmdirs', names(comparison.removeFolders)],
    ['sent', names(filesOf(comparison.send).map(({ path }) => path))],
    ['manifest.gz', encodeManifest(comparison.result)],
  ]
}

/**
 * Files are dealt out by size. Every lane brings all folders: two tars that both miss one get into each other's way
 * when they make it for their files.
 */
function splitIntoLanes(entries: readonly Entry[], count: number): Entry[][] {
  if (count === 1) return [[...entries]]
  const folders = entries.filter(({ type }) => type === 'folder')
  const lanes = Array.from({ length: count }, () => ({ entries: [...folders] as Entry[], bytes: 0 }))
  const first = lanes[0]
  for (const entry of entries) {
    if (entry.type === 'folder') continue
    const lane =
      entry.type === 'file' ? lanes.reduce((least, one) => (one.bytes < least.bytes ? one : least)) : first
    lane?.entries.push(entry)
    if (lane && entry.type === 'file') lane.bytes += entry.size + 512
  }
  return lanes.map((lane) => lane.entries)
}

async function takeSample(files: readonly FileEntry[], tree: SourceTree): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  // From all over the site: its first files may all be images.
  const step = Math.max(1, Math.floor(files.length / 32))
  for (let at = 0; at < files.length && bytes < SAMPLE; at += step) {
    const file = files[at]
    if (file === undefined) break
    for await (const chunk of tree.read(file)) {
      const part = chunk.subarray(0, SAMPLE / 8)
      chunks.push(part)
      bytes += part.length
      break
    }
  }
  return Buffer.concat(chunks)
}

async function* archive(
  entries: readonly Entry[],
  extra: readonly [name: string, content: Buffer][],
  { tree, mtime }: TransferPlan,
  progress: Progress,
): AsyncGenerator<Buffer> {
  const chunks = new ChunkJoiner()
  for (const entry of entries) {
    const name = `tree/${entry.path}`
    if (entry.type !== 'file') {
      const to = entry.type === 'link' ? { to: entry.to } : {}
      const mode = entry.type === 'folder' ? entry.mode : 0o777
      yield* chunks.add(tarHeader({ name, type: entry.type, mode, mtime, size: 0, ...to }))
      continue
    }
    yield* chunks.add(tarHeader({ name, type: 'file', mode: entry.mode, mtime, size: entry.size }))
    for await (const part of tree.read(entry)) {
      progress.sent(part.length)
      yield* chunks.add(part)
    }
    yield* chunks.add(tarPadding(entry.size))
    progress.fileSent()
  }
  for (const [name, content] of extra) {
    yield* chunks.add(tarHeader({ name, type: 'file', mode: 0o600, mtime, size: content.length }))
    yield* chunks.add(content)
    yield* chunks.add(tarPadding(content.length))
  }
  yield* chunks.add(tarEnd())
  yield chunks.rest()
}

/** Headers and small files would each be a packet of their own. */
class ChunkJoiner {
  #parts: Buffer[] = []
  #bytes = 0;

  *add(part: Buffer): Generator<Buffer> {
    if (part.length === 0) return
    this.#parts.push(part)
    this.#bytes += part.length
    if (this.#bytes >= CHUNK) yield this.rest()
  }

  rest(): Buffer {
    const joined = Buffer.concat(this.#parts)
    this.#parts = []
    this.#bytes = 0
    return joined
  }
}

function compressed(tar: AsyncGenerator<Buffer>, codec: Codec, progress: Progress): Readable {
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      progress.onWire(chunk.length)
      done(null, chunk)
    },
  })
  const source = Readable.from(tar, { objectMode: false, highWaterMark: CHUNK })
  const compressor = codec.compressor()
  const last = compressor ?? source
  // `pipe` hands no errors on, and what reads the end must see them.
  source.once('error', (error) => counter.destroy(error))
  compressor?.once('error', (error) => counter.destroy(error))
  counter.once('close', () => source.destroy())
  if (compressor !== undefined) source.pipe(compressor)
  return last.pipe(counter)
}

function unpackFailure(connection: Connection, code: number, noise: ByteString): Failure {
  const seen = fromByteString(noise).trim().split('\n').slice(-3).join('; ')
  const full = /no space left|disk quota/i.test(seen)
  return new Failure(full ? 'there is no space left on the server' : 'unpacking on the server failed', {
    host: connection.name,
    seen: seen || `exit code ${code}`,
    hint: full
      ? 'free some space there, or keep fewer releases (`keep-releases`)'
      : 'look at the rights of the folder `releases` below the target',
  })
}
