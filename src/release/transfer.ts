import { createHash } from 'node:crypto'
import { Readable, Transform } from 'node:stream'
import type { Context } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import type { Connection, RemoteProcess } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import {
  type ByteString,
  fromByteString,
  openLane,
  openLaneApart,
  pipeToScript,
} from '../ssh/remote-shell.ts'
import type { Comparison } from './comparison.ts'
import { type Codec, chooseCodec, uncompressed } from './compression.ts'
import { encodeManifest, type FileEntry, type LinkEntry, type Manifest } from './manifest.ts'
import { type Progress, trackProgress } from './progress.ts'
import type { SourceTree } from './source-tree.ts'
import { tarEnd, tarHeader, tarPadding } from './tar-writer.ts'

/** A file that travels beside the tree: a list, a script, the manifest. */
export interface Extra {
  readonly name: string
  readonly size: number
  pieces(): Iterable<Buffer>
}

export interface TransferPlan {
  readonly send: Manifest
  readonly extra: readonly Extra[]
  readonly tree: SourceTree
  /** Folder on the server that gets `tree/` and the lists beside it. */
  readonly stage: ByteString
  readonly tools: ReadonlySet<string>
  /** Where each lane tells the server's waiting shell that it has ended; undefined where nothing waits. */
  readonly bell: ByteString | undefined
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
/** More gain nothing on a short path: the server unpacks several at once. */
const LANES = 3
const NARROW = { lanes: 1, apart: 0, partBytes: Number.POSITIVE_INFINITY }
const BYTES_FOR_LONG_PATH = 64 * 1024 * 1024
const LONG_PATH_MS = 60
/**
 * A channel carries at most its window (2 MB) in a round trip, and a connection what its socket may hold (some 2.5 MB
 * on Linux as it comes): it takes several of both to fill a long fat path.
 */
const LONG = { lanes: 6, apart: 4, partBytes: 16 * 1024 * 1024 }
const NEAR_MS = 1
const CHUNK = 256 * 1024
const SAMPLE = 256 * 1024
/** The server hashes what arrived in so many processes at once, where it is much; opening a file counts as some bytes. */
const HASH_LISTS = 4
const WORK_FOR_LISTS = 8 * 1024 * 1024
const FILE_COST = 8 * 1024

/** Digest over the hashes of the sent files, in order, as the server computes it; `-` where there are none. */
export function sentDigest(send: Manifest): string {
  const digest = createHash('sha256')
  let files = 0
  for (const { hash } of send.ofType('file')) {
    digest.update(`${hash}\n`)
    files++
  }
  return files === 0 ? '-' : digest.digest('hex')
}

/** How the archive travels. */
export interface Way {
  readonly codec: Codec
  readonly lanes: number
  /** How many of the lanes have a connection of their own. */
  readonly apart: number
  /** Larger files travel in parts of this many bytes, by several lanes. */
  readonly partBytes: number
}

export async function chooseWay(
  connection: Connection,
  { send, tree, tools }: Pick<TransferPlan, 'send' | 'tree' | 'tools'>,
): Promise<Way> {
  const { files, bytes } = send.total
  const codec = isNear(connection) ? uncompressed : chooseCodec(tools, await takeSample(send, files, tree))
  const isLong = connection.roundTripMs >= LONG_PATH_MS && bytes >= BYTES_FOR_LONG_PATH
  if (connection.isNarrow) return { codec, ...NARROW }
  if (isLong) return { codec, ...LONG }
  return { codec, ...NARROW, lanes: bytes < BYTES_FOR_LANES ? 1 : LANES }
}

/** Sends what the comparison asks for. Resolves when the remote side has unpacked it all, not yet verified. */
export async function transfer(
  connection: Connection,
  plan: TransferPlan,
  { codec, lanes, apart, partBytes }: Way,
  context: Context,
): Promise<TransferResult> {
  const { send, stage, bell } = plan
  const queue = pieces(send, partBytes)
  const extra = [...plan.extra, ...joining(send, partBytes)]
  const progress = trackProgress(send.total, context)
  const unpack = `cd ${quote(stage)} && ${codec.unpack}tar -xpof -`
  const code = bell === undefined ? unpack : thenRing(unpack, bell)
  const openThe = async (index: number): Promise<RemoteProcess | undefined> => {
    if (index === 0) return plan.lane
    if (index < lanes - apart) return openLane(connection)
    try {
      return await openLaneApart(connection)
    } catch (error) {
      context.log.warn(`${connection.name}: it goes on over fewer connections: ${describeError(error)}`)
      if (bell !== undefined) await connection.script(ringBell(fromByteString(bell), 'arrived'))
      return undefined
    }
  }
  const failed = new AbortController()
  const signal = AbortSignal.any([context.signal, failed.signal])
  try {
    await Promise.all(
      Array.from({ length: lanes }, async (_, index) => {
        try {
          const lane = await openThe(index)
          if (lane === undefined) return
          const tar = archive(queue, index === 0 ? extra : [], plan, progress)
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
  return { bytesOnWire: progress.bytesOnWire, codec: codec.name, lanes }
}

/** Nothing where the bell has gone with the shell that listened: a file would take its place. */
export function ringBell(bell: ByteString, word: string): ByteString {
  return `if [ -p ${quote(bell)} ]; then echo ${word} 1<>${quote(bell)}; fi`
}

/** Tells the shell that waits for all lanes how this one ended. Opened both ways, the bell never blocks. */
function thenRing(unpack: ByteString, bell: ByteString): ByteString {
  const ring = ringBell(bell, '$word')
  return `code=0; ${unpack} || code=$?; if [ $code = 0 ]; then word=arrived; else word=broken; fi; ${ring}; exit $code`
}

/** On this machine or beside it: bytes travel faster there than they are compressed. */
const isNear = ({ roundTripMs }: Connection) => roundTripMs < NEAR_MS

/** Lists for the server, NUL-ended names; they travel in the archive as files beside the tree. */
export function lists({ removeFiles, removeFolders, send, result }: Comparison): Extra[] {
  return [
    nameList('remove', () => removeFiles),
    nameList('rmdirs', () => removeFolders),
    ...sentLists(send),
    extraOf('manifest.gz', encodeManifest(result)),
  ]
}

export function extraOf(name: string, content: Buffer): Extra {
  return { name, size: content.length, pieces: () => [content] }
}

function nameList(name: string, paths: () => Iterable<ByteString>): Extra {
  let size = 0
  for (const path of paths()) size += path.length + 3
  return {
    name,
    size,
    *pieces() {
      for (const path of paths()) yield Buffer.from(`./${path}\0`, 'latin1')
    },
  }
}

/** The files sent, in order, in lists that take the server about as long to hash one as the other. */
function sentLists(send: Manifest): Extra[] {
  const { files, bytes } = send.total
  const work = bytes + files * FILE_COST
  const share = work < WORK_FOR_LISTS ? work : Math.ceil(work / HASH_LISTS)
  return Array.from({ length: Math.ceil(work / share) || 0 }, (_, at) =>
    nameList(`sent.${at}`, () => pathsOfShare(send, share, at)),
  )
}

function* pathsOfShare(send: Manifest, share: number, wanted: number): Generator<ByteString> {
  let before = 0
  for (const { path, size } of send.ofType('file')) {
    if (Math.floor(before / share) === wanted) yield path
    before += size + FILE_COST
  }
}

async function takeSample(send: Manifest, count: number, tree: SourceTree): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  let at = 0
  // From all over the site: its first files may all be images.
  const step = Math.max(1, Math.floor(count / 32))
  for (const file of send.ofType('file')) {
    if (at++ % step !== 0) continue
    for await (const chunk of tree.read(file)) {
      const part = chunk.subarray(0, SAMPLE / 8)
      chunks.push(part)
      bytes += part.length
      break
    }
    if (bytes >= SAMPLE) break
  }
  return Buffer.concat(chunks)
}

/** A link, or what of a file one lane brings. */
type Piece =
  | { readonly entry: LinkEntry; readonly name: ByteString; readonly from: 0; readonly to: 0 }
  | { readonly entry: FileEntry; readonly name: ByteString; readonly from: number; readonly to: number }

function* pieces(send: Manifest, partBytes: number): Generator<Piece, undefined> {
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
function joining(send: Manifest, partBytes: number): Extra[] {
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
 * What one lane brings: files as the lane gets round to them. Every lane brings all folders first: two tars that both
 * miss one get into each other's way when they make it for their files.
 */
async function* archive(
  queue: Iterator<Piece>,
  extra: readonly Extra[],
  { send, tree, mtime }: TransferPlan,
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
  for (const { name, size, pieces } of extra) {
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
