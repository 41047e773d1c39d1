import type { ByteString } from './byte-string.ts'

// Packets of the SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02), which OpenSSH and nearly every
// other server speak. Why not the client of ssh2: it takes and gives names as text, and a name on a Unix system is bytes.

export const Request = {
  init: 1,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  readlink: 19,
  symlink: 20,
  extended: 200,
} as const

export const Response = {
  version: 2,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 201,
} as const

export const Status = { ok: 0, end: 1, noSuchFile: 2, permissionDenied: 3, unsupported: 8 } as const

/** How a file is opened (SSH_FXF_*). */
export const OpenFlags = { read: 1, write: 2, create: 8, truncate: 16, exclusive: 32 } as const

export interface Attributes {
  readonly size?: number
  /** With the file's kind in its upper bits, as in stat(2). */
  readonly mode?: number
  /** Unix seconds. */
  readonly mtime?: number
}

const HAS_SIZE = 1
const HAS_OWNER = 2
const HAS_MODE = 4
const HAS_TIMES = 8
const HAS_MORE = 0x80000000

export type Field =
  | { readonly byte: number }
  | { readonly int: number }
  | { readonly long: number }
  | { readonly bytes: ByteString | Buffer }
  | { readonly attributes: Attributes }

/** One request with its length in front. */
export function encodePacket(type: number, fields: readonly Field[]): Buffer {
  const parts = [{ byte: type }, ...fields].map(encodeField)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(parts.reduce((sum, part) => sum + part.length, 0))
  return Buffer.concat([length, ...parts])
}

function encodeField(field: Field): Buffer {
  if ('byte' in field) return Buffer.from([field.byte])
  if ('int' in field) return uint32(field.int)
  if ('long' in field) return uint64(field.long)
  if ('attributes' in field) return encodeAttributes(field.attributes)
  const bytes = typeof field.bytes === 'string' ? Buffer.from(field.bytes, 'latin1') : field.bytes
  return Buffer.concat([uint32(bytes.length), bytes])
}

function encodeAttributes({ size, mode, mtime }: Attributes): Buffer {
  const flags =
    (size === undefined ? 0 : HAS_SIZE) |
    (mode === undefined ? 0 : HAS_MODE) |
    (mtime === undefined ? 0 : HAS_TIMES)
  const parts = [uint32(flags)]
  if (size !== undefined) parts.push(uint64(size))
  if (mode !== undefined) parts.push(uint32(mode))
  // The time of the last access comes first.
  if (mtime !== undefined) parts.push(uint32(mtime), uint32(mtime))
  return Buffer.concat(parts)
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

function uint64(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(BigInt(value))
  return buffer
}

/** Reads the fields of one response; throws a RangeError where it is shorter than it says. */
export class PacketReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++)
  }

  int(): number {
    this.#at += 4
    return this.#bytes.readUInt32BE(this.#at - 4)
  }

  long(): number {
    this.#at += 8
    return Number(this.#bytes.readBigUInt64BE(this.#at - 8))
  }

  buffer(): Buffer {
    const length = this.int()
    if (this.#at + length > this.#bytes.length) throw new RangeError('a field is longer than its packet')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  text(): ByteString {
    return this.buffer().toString('latin1')
  }

  attributes(): Attributes {
    const flags = this.int()
    const size = flags & HAS_SIZE ? { size: this.long() } : {}
    if (flags & HAS_OWNER) this.long()
    const mode = flags & HAS_MODE ? { mode: this.int() } : {}
    let mtime = {}
    if (flags & HAS_TIMES) {
      this.int()
      mtime = { mtime: this.int() }
    }
    // Bit 31: `&` gives a negative number, which is as true as any.
    if (flags & HAS_MORE) {
      for (let left = this.int(); left > 0; left--) {
        this.buffer()
        this.buffer()
      }
    }
    return { ...size, ...mode, ...mtime }
  }
}
