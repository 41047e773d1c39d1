import type { Duplex } from 'node:stream'
import * as zlib from 'node:zlib'
import type { ByteString } from '../ssh/remote-shell.ts'

export interface Codec {
  readonly name: 'zstd' | 'gzip' | 'none'
  /** Shell command on the server, with its pipe; '' where nothing is compressed. */
  readonly unpack: ByteString
  compressor(): Duplex | undefined
}

export const uncompressed: Codec = { name: 'none', unpack: '', compressor: () => undefined }
/** Node's own 16 KB would cost a turn through its thread pool for each, and half-filled packets. */
const CHUNK = 128 * 1024
const ZSTD: Codec = {
  name: 'zstd',
  unpack: 'zstd -dcq | ',
  compressor: () =>
    zlib.createZstdCompress({
      chunkSize: CHUNK,
      params: { [zlib.constants.ZSTD_c_compressionLevel]: 3 },
    }) as unknown as Duplex,
}
const GZIP: Codec = {
  name: 'gzip',
  unpack: 'gzip -dc | ',
  compressor: () => zlib.createGzip({ chunkSize: CHUNK, level: 4 }),
}

/** Above this share of its size left, compressing is not worth its time. */
const WORTH_IT = 0.9

/** Whether it is worth compressing content like this. */
export function shrinks(sample: Buffer): boolean {
  return sample.length > 0 && zlib.deflateRawSync(sample, { level: 1 }).length / sample.length <= WORTH_IT
}

/** The best codec that both sides have. */
export function chooseCodec(serverTools: ReadonlySet<string>): Codec {
  // Node has zstd since 22.15.
  if (serverTools.has('zstd') && typeof zlib.createZstdCompress === 'function') return ZSTD
  return serverTools.has('gzip') ? GZIP : uncompressed
}
