import type { ByteString } from '../ssh/byte-string.ts'

// Why not a library: those for Node take names as text, and a name on a Unix system is bytes. What is written is the
// GNU form of the ustar format (libarchive's tar(5)): long names by `L` and `K` records, large sizes in base 256.
// GNU tar, busybox and libarchive all read it.

export interface TarMember {
  readonly name: ByteString
  readonly type: 'file' | 'folder' | 'link'
  readonly mode: number
  /** Unix seconds. */
  readonly mtime: number
  readonly size: number
  /** Target of a link. */
  readonly to?: ByteString
}

const BLOCK = 512
const ZEROS = Buffer.alloc(BLOCK)
const TYPE_FLAGS = { file: '0', folder: '5', link: '2' } as const
const NAME_FIELD = 100
const SIZE_PLACE = 124
const MTIME_PLACE = 136
const SUM_PLACE = 148
const LINK_PLACE = 157
const MAGIC_PLACE = 257
const MAX_OCTAL_SIZE = 0o77777777777

/** A header without what each member has of its own, and the sum of its bytes: most members have the same. */
interface Form {
  readonly mode: number
  readonly mtime: number
  readonly flag: string
  readonly bytes: Buffer
  readonly sum: number
}

/** Makes headers, each in the memory of the one before. */
export class TarHeaders {
  readonly #header = Buffer.alloc(BLOCK)
  #form: Form | undefined

  /** The header of a member, with the records before it that a long name needs. Holds until the next is made. */
  of(member: TarMember): Buffer {
    const name = member.type === 'folder' ? `${member.name}/` : member.name
    const { mode, mtime, to = '' } = member
    const size = member.type === 'file' ? member.size : 0
    const parts: Buffer[] = []
    if (name.length > NAME_FIELD) parts.push(this.#longText('L', name))
    if (to.length > NAME_FIELD) parts.push(this.#longText('K', to))
    const header = this.#block(name, mode, size, mtime, TYPE_FLAGS[member.type], to)
    return parts.length === 0 ? header : Buffer.concat([...parts, header])
  }

  #longText(flag: 'L' | 'K', text: ByteString): Buffer {
    const content = Buffer.from(`${text}\0`, 'latin1')
    const header = this.#block('././@LongLink', 0o644, content.length, 0, flag, '')
    return Buffer.concat([header, content, tarPadding(content.length)])
  }

  #block(name: ByteString, mode: number, size: number, mtime: number, flag: string, to: ByteString): Buffer {
    const { bytes, sum } = this.#formOf(mode, mtime, flag)
    const header = this.#header
    header.set(bytes)
    const whole =
      sum +
      put(header, name.slice(0, NAME_FIELD), 0) +
      put(header, sizeField(size), SIZE_PLACE) +
      put(header, to.slice(0, NAME_FIELD), LINK_PLACE)
    put(header, `${octal(whole, 6)}\0 `, SUM_PLACE)
    return header
  }

  #formOf(mode: number, mtime: number, flag: string): Form {
    const last = this.#form
    if (last?.mode === mode && last.mtime === mtime && last.flag === flag) return last
    const bytes = Buffer.alloc(BLOCK)
    const sum =
      put(bytes, `${octal(mode, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, NAME_FIELD) +
      put(bytes, `${octal(mtime, 11)}\0${' '.repeat(8)}${flag}`, MTIME_PLACE) +
      put(bytes, 'ustar  ', MAGIC_PLACE)
    this.#form = { mode, mtime, flag, bytes, sum }
    return this.#form
  }
}

/** Zeros that fill a content of this size up to whole blocks. */
export function tarPadding(size: number): Buffer {
  return ZEROS.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK)
}

/** What ends an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK)
}

/** Returns the sum of the bytes. */
function put(header: Buffer, text: ByteString, at: number): number {
  let sum = 0
  for (let index = 0; index < text.length; index++) {
    const byte = text.charCodeAt(index)
    header[at + index] = byte
    sum += byte
  }
  return sum
}

function sizeField(size: number): ByteString {
  if (size <= MAX_OCTAL_SIZE) return `${octal(size, 11)}\0`
  const bytes = Buffer.alloc(12)
  bytes[0] = 0x80
  bytes.writeBigUInt64BE(BigInt(size), 4)
  return bytes.toString('latin1')
}

function octal(value: number, digits: number): string {
  return Math.max(0, Math.floor(value)).toString(8).padStart(digits, '0')
}
