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
const SUM_PLACE = 148
const LINK_PLACE = 157
const MAGIC_PLACE = 257
const MAX_OCTAL_SIZE = 0o77777777777

/** The header of a member, with the records before it that a long name needs. */
export function tarHeader(member: TarMember): Buffer {
  const name = member.type === 'folder' ? `${member.name}/` : member.name
  const to = member.to ?? ''
  const size = member.type === 'file' ? member.size : 0
  const header = block(name, member.mode, size, member.mtime, TYPE_FLAGS[member.type], to)
  if (name.length <= NAME_FIELD && to.length <= NAME_FIELD) return header
  const parts = [header]
  if (to.length > NAME_FIELD) parts.unshift(longText('K', to))
  if (name.length > NAME_FIELD) parts.unshift(longText('L', name))
  return Buffer.concat(parts)
}

/** Zeros that fill a content of this size up to whole blocks. */
export function tarPadding(size: number): Buffer {
  return ZEROS.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK)
}

/** What ends an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK)
}

function longText(flag: 'L' | 'K', text: ByteString): Buffer {
  const content = Buffer.from(`${text}\0`, 'latin1')
  return Buffer.concat([
    block('././@LongLink', 0o644, content.length, 0, flag, ''),
    content,
    tarPadding(content.length),
  ])
}

function block(
  name: ByteString,
  mode: number,
  size: number,
  mtime: number,
  flag: string,
  to: ByteString,
): Buffer {
  const ids = `${octal(0, 7)}\0${octal(0, 7)}\0`
  const unsummed = ' '.repeat(8)
  const numbers = `${octal(mode, 7)}\0${ids}${sizeField(size)}${octal(mtime, 11)}\0${unsummed}${flag}`
  // In the memory that small buffers share: one of its own for each would take longer than all else here.
  const header = Buffer.allocUnsafe(BLOCK).fill(0)
  const sum =
    put(header, name.slice(0, NAME_FIELD), 0) +
    put(header, numbers, NAME_FIELD) +
    put(header, to.slice(0, NAME_FIELD), LINK_PLACE) +
    put(header, 'ustar  ', MAGIC_PLACE)
  header.write(`${octal(sum, 6)}\0 `, SUM_PLACE, 'latin1')
  return header
}

/** Returns the sum of the bytes. */
function put(header: Buffer, text: ByteString, at: number): number {
  header.write(text, at, 'latin1')
  let sum = 0
  for (let index = 0; index < text.length; index++) sum += text.charCodeAt(index)
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
