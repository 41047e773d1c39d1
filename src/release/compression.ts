import type { Duplex } from 'node:stream'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import type { ByteString } from '../ssh/byte-string.ts'

export interface Codec {
  readonly name: 'zstd' | 'gzip' | 'none'
  /** Shell command on the server, with its pipe; '' where nothing is compressed. */
  readonly unpack: ByteString
  /** `chunkSize`: bytes that it gives on at once. Node's own 16 KB would cost a turn through its thread pool for each. */
  compressor(chunkSize: number): Duplex | undefined
}

const uncompressed: Codec = { name: 'none', unpack: '', compressor: () => undefined }

function zstd(level: number): Codec {
  const params = { [zlib.constants.ZSTD_c_compressionLevel]: level }
  return {
    name: 'zstd',
    unpack: 'zstd -dcq | ',
    compressor: (chunkSize) => zlib.createZstdCompress({ chunkSize, params }) as unknown as Duplex,
  }
}

const GZIP: Codec = {
  name: 'gzip',
  unpack: 'gzip -dc | ',
  compressor: (chunkSize) => zlib.createGzip({ chunkSize, level: 4 }),
}

/** Above this share of its size left, compressing is not worth its time. */
const WORTH_IT = 0.9
/** The same where bytes travel about as fast as they are compressed. */
const WORTH_IT_NEAR = 0.5

const deflate = promisify(zlib.deflateRaw) as (content: Buffer, options: zlib.ZlibOptions) => Promise<Buffer>

/** What is left of a sample of some content, as a share. */
export async function shareLeft(sample: Buffer): Promise<number> {
  return sample.length === 0 ? 1 : (await deflate(sample, { level: 1 })).length / sample.length
}

export interface CodecChoice {
  readonly codec: Codec
  /** What is told of it where the server lacks the one that this side would take. */
  readonly note: string | undefined
}

/** The best codec that both sides have, for content of which this share is left. `isNear`: on the same machine, or beside it. */
export function chooseCodec(serverTools: ReadonlySet<string>, left: number, isNear: boolean): CodecChoice {
  if (left > (isNear ? WORTH_IT_NEAR : WORTH_IT)) return { codec: uncompressed, note: undefined }
  // Node has zstd since 22.15.
  const hasZstd = typeof zlib.createZstdCompress === 'function'
  if (hasZstd && serverTools.has('zstd')) return { codec: zstd(isNear ? 1 : 3), note: undefined }
  const codec = serverTools.has('gzip') && !isNear ? GZIP : uncompressed
  if (hasZstd) return { codec, note: `there is no zstd there: ${told(codec)}` }
  const lacksGzip = !isNear && codec === uncompressed
  return { codec, note: lacksGzip ? `there is no gzip there: ${told(codec)}` : undefined }
}

const told = ({ name }: Codec) => (name === 'none' ? 'nothing is compressed' : `${name} compresses instead`)
