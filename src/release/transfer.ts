import type { Context } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/byte-string.ts'
import type { Connection, RemoteProcess } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import { feed, openLane, openLaneApart, pipeToScript } from '../ssh/remote-shell.ts'
import { archive, type Content, type Extra, joining, pieces } from './archive.ts'
import { type Codec, chooseCodec, shareLeft } from './compression.ts'
import { type FileEntry, type Manifest, once } from './manifest.ts'
import { type Progress, trackProgress } from './progress.ts'
import type { SourceTree } from './source-tree.ts'

export interface TransferPlan extends Content {
  /** Asked for when all files have been packed. */
  readonly extra: () => readonly Extra[]
  /** Folder on the server that gets `tree/` and the lists beside it. */
  readonly stage: ByteString
  readonly tools: ReadonlySet<string>
  /** Where each lane tells the server's waiting shell that it has ended; undefined where nothing waits. */
  readonly bell: ByteString | undefined
  /** Opened beforehand. */
  readonly lane: Promise<RemoteProcess>
  /** Called when all has been packed and is on its way, with the number of lanes that bring it. */
  readonly onPacked: (lanes: number) => void
}

export interface TransferResult {
  readonly bytesOnWire: number
  readonly codec: Codec['name']
  /** Those that were opened, which may be fewer than were wanted. */
  readonly lanes: number
}

const BYTES_FOR_LANES = 16 * 1024 * 1024
const NARROW = { lanes: 1, apart: 0, partBytes: Number.POSITIVE_INFINITY }
/** More lanes gain nothing on a short path: the server unpacks several at once. */
const SEVERAL = { ...NARROW, lanes: 3 }
const BYTES_FOR_LONG_PATH = 64 * 1024 * 1024
const LONG_PATH_MS = 60
/**
 * A channel carries at most its window (2 MB) in a round trip, and a connection what its socket may hold (some 2.5 MB
 * on Linux as it comes): it takes several of both to fill a long fat path.
 */
const LONG = { lanes: 6, apart: 4, partBytes: 16 * 1024 * 1024 }
/**
 * On the same machine, or beside it: one lane is no slower than several there, and each hand that a chunk goes through
 * costs more than waiting until it is larger.
 */
const NEAR_MS = 1
const CHUNK = 256 * 1024
const NEAR_CHUNK = 1024 * 1024
/** GNU tar reads and writes 10 KB at a time unless told otherwise; other tars take what a pipe holds. */
const OTHER_TAR = 'its tar is not GNU tar: the options that make that one quicker are left out'
const LARGE_TAR = `$(case $(tar --version 2>&1) in (*'GNU tar'*) echo tar -b 512 ;; (*) echo tar; echo '${OTHER_TAR}' >&2 ;; esac)`
const SAMPLES = 32
const SAMPLE_BYTES = 8 * 1024
/** Has no divisor in common with the number of samples. */
const STRIDE = 5

/** How the archive travels. */
export interface Way {
  readonly codec: Codec
  /** What the log tells of the codec. */
  readonly note: string | undefined
  readonly lanes: number
  /** How many of the lanes have a connection of their own. */
  readonly apart: number
  /** Larger files travel in parts of this many bytes, by several lanes. */
  readonly partBytes: number
  /** So many bytes of the archive go on at once. */
  readonly chunkBytes: number
}

export async function chooseWay(
  connection: Connection,
  { send, tree, tools }: Pick<TransferPlan, 'send' | 'tree' | 'tools'>,
): Promise<Way> {
  const { bytes } = send.total
  const isNear = connection.roundTripMs < NEAR_MS
  const choice = chooseCodec(tools, await compressibility(send, tree), isNear)
  if (isNear) return { ...choice, ...NARROW, chunkBytes: NEAR_CHUNK }
  const far = { ...choice, chunkBytes: CHUNK }
  if (connection.isNarrow || bytes < BYTES_FOR_LANES) return { ...far, ...NARROW }
  const isLong = connection.roundTripMs >= LONG_PATH_MS && bytes >= BYTES_FOR_LONG_PATH
  return { ...far, ...(isLong ? LONG : SEVERAL) }
}

/** Sends what the comparison asks for. Resolves when the remote side has unpacked it all, not yet verified. */
export async function transfer(
  connection: Connection,
  plan: TransferPlan,
  { codec, note, lanes, apart, partBytes, chunkBytes }: Way,
  context: Context,
): Promise<TransferResult> {
  const { send, stage, bell } = plan
  const queue = pieces(send, partBytes)
  const extra = () => [...plan.extra(), ...joining(send, partBytes)]
  connection.slowStart.end()
  const progress = trackProgress(send.total, context)
  const tar = send.total.bytes < BYTES_FOR_LANES ? 'tar' : LARGE_TAR
  const unpack = `cd ${quote(stage)} && ${codec.unpack}${tar} -xpof -`
  const code = bell === undefined ? unpack : thenRing(unpack, bell)
  const { openings, opened } = openLanes(connection, plan.lane, lanes, apart, context)
  if (note !== undefined) context.log.info(`${connection.name}: ${note}`)
  let isOther = false
  const failed = new AbortController()
  const signal = AbortSignal.any([context.signal, failed.signal])
  try {
    await Promise.all(
      openings.map(async (opening, index) => {
        try {
          const lane = await opening
          if (lane === undefined) return
          const packed = archive(queue, index === 0 ? extra : () => [], plan, chunkBytes, progress)
          const all = index === 0 ? withEnd(packed, async () => plan.onPacked(await opened)) : packed
          const input = compressed(all, codec, chunkBytes, progress, signal)
          const result = await pipeToScript(connection.name, lane, code, input, signal)
          if (result.code !== 0) throw unpackFailure(connection, result.code, result.noise)
          isOther ||= result.noise.includes(OTHER_TAR)
        } catch (error) {
          failed.abort(error)
          throw error
        }
      }),
    )
  } finally {
    progress.end()
  }
  if (isOther) context.log.info(`${connection.name}: ${OTHER_TAR}`)
  return { bytesOnWire: progress.bytesOnWire, codec: codec.name, lanes: await opened }
}

interface Lanes {
  /** Undefined for one that the server did not let in. */
  readonly openings: readonly Promise<RemoteProcess | undefined>[]
  /** How many are open, once that is known of all. */
  readonly opened: Promise<number>
}

/** Where the server refuses one, those that there are bring everything. */
function openLanes(
  connection: Connection,
  first: Promise<RemoteProcess>,
  lanes: number,
  apart: number,
  { log, signal }: Context,
): Lanes {
  let refusal: unknown
  const openThe = async (index: number): Promise<RemoteProcess | undefined> => {
    if (index === 0) return first
    try {
      return await (index < lanes - apart ? openLane(connection) : openLaneApart(connection))
    } catch (error) {
      if (!connection.isOpen || signal.aborted) throw error
      refusal = error
      return undefined
    }
  }
  const openings = Array.from({ length: lanes }, (_, index) => openThe(index))
  const opened = Promise.all(openings).then((all) => {
    const count = all.filter((lane) => lane !== undefined).length
    if (count < lanes) {
      log.warn(
        `${connection.name}: ${count} of ${lanes} lanes could be opened, which bring everything: ${describeError(refusal)}`,
      )
    }
    return count
  })
  // Its failure is that of a lane, too.
  opened.catch(() => {})
  return { openings, opened }
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

const compressibilities = new WeakMap<Manifest, Promise<number>>()

/** The share that is left of a sample of these files when it is compressed. */
export function compressibility(send: Manifest, tree: SourceTree): Promise<number> {
  return once(compressibilities, send, async () => shareLeft(takeSample(send, tree)))
}

/** From all over the site, and from all places in its files: the first ones may all be images, the beginnings all text. */
function takeSample(send: Manifest, tree: SourceTree): Buffer {
  const samples: Buffer[] = []
  for (let taken = 0; taken < SAMPLES; taken++) {
    const entry = send.fileFrom(Math.floor((taken * send.size) / SAMPLES))
    if (entry === undefined) break
    samples.push(readAt(tree, entry, ((taken * STRIDE) % SAMPLES) / SAMPLES))
  }
  return Buffer.concat(samples)
}

/** Reads some bytes, at this share of a file's length. */
function readAt(tree: SourceTree, entry: FileEntry, share: number): Buffer {
  const sample = Buffer.alloc(Math.min(entry.size, SAMPLE_BYTES))
  if (sample.length === 0) return sample
  const file = tree.open(entry, Math.floor((entry.size - sample.length) * share))
  try {
    return sample.subarray(0, file.read(sample))
  } finally {
    file.close()
  }
}

async function* withEnd(chunks: AsyncIterable<Buffer>, onEnd: () => Promise<void>): AsyncGenerator<Buffer> {
  yield* chunks
  await onEnd()
}

/** What goes over the wire of an archive. */
async function* compressed(
  packed: AsyncGenerator<Buffer>,
  codec: Codec,
  chunkBytes: number,
  progress: Progress,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const compressor = codec.compressor(chunkBytes / 2)
  if (compressor !== undefined) feed(compressor, packed, signal).catch((error) => compressor.destroy(error))
  for await (const chunk of compressor ?? packed) {
    progress.onWire(chunk.length)
    yield chunk
  }
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
