// What the codec of DNS messages does not offer: UPDATE messages (RFC 2136) and the place of a message's last record.
import * as packet from 'dns-packet'
import type { RecordType } from './record.ts'

/** The parts of dns-packet that its types leave out. */
interface Codec {
  readonly decode: ((bytes: Buffer, offset: number) => { name: string; type: string; data: unknown }) & {
    bytes: number
  }
  readonly encode: (value: unknown) => Buffer
}
const codec = packet as unknown as {
  readonly name: { encode(name: string): Buffer }
  readonly question: Codec
  readonly answer: Codec
  /** Its `encode` gives the length of the data before the data. */
  record(type: string): Codec
}

const TYPES = { A: 1, CNAME: 5, SOA: 6, AAAA: 28, ANY: 255 } as const
const CLASSES = { IN: 1, NONE: 254, ANY: 255 } as const
const UPDATE = 5 << 11

/** A name in lower case, without compression, as signatures and updates have it. */
export const encodeName = (name: string): Buffer => codec.name.encode(name.toLowerCase())

/** One record of an UPDATE message. */
export type UpdateRecord = Buffer

function record(
  name: string,
  type: keyof typeof TYPES,
  of: keyof typeof CLASSES,
  ttl: number,
  value?: string,
): UpdateRecord {
  const fixed = Buffer.alloc(8)
  fixed.writeUInt16BE(TYPES[type], 0)
  fixed.writeUInt16BE(CLASSES[of], 2)
  fixed.writeUInt32BE(ttl, 4)
  const data = value === undefined ? Buffer.alloc(2) : codec.record(type).encode(value)
  return Buffer.concat([encodeName(name), fixed, data])
}

/** Prerequisite: the name has records of its own (RFC 2136, section 2.4.4). */
export const nameInUse = (name: string): UpdateRecord => record(name, 'ANY', 'ANY', 0)

/** Prerequisite: the name has records of that type (section 2.4.1). */
export const setExists = (name: string, type: RecordType | 'SOA'): UpdateRecord =>
  record(name, type, 'ANY', 0)

/** Prerequisites: the name has exactly these records of that type (section 2.4.2); their TTL does not count. */
export const setIs = (name: string, type: RecordType, values: readonly string[]): UpdateRecord[] =>
  values.map((value) => record(name, type, 'IN', 0, value))

/** Change: all records of that type go (section 2.5.2). */
export const deleteSet = (name: string, type: RecordType): UpdateRecord => record(name, type, 'ANY', 0)

/** Change: one record goes (section 2.5.4). */
export const deleteValue = (name: string, type: RecordType, value: string): UpdateRecord =>
  record(name, type, 'NONE', 0, value)

/** Changes: these records come (section 2.5.1). */
export const addValues = (
  name: string,
  type: RecordType,
  ttl: number,
  values: readonly string[],
): UpdateRecord[] => values.map((value) => record(name, type, 'IN', ttl, value))

/** An UPDATE message: the changes are made together, and only if all prerequisites hold. */
export function encodeUpdate(
  id: number,
  zone: string,
  prerequisites: readonly UpdateRecord[],
  changes: readonly UpdateRecord[],
): Buffer {
  const header = Buffer.alloc(12)
  header.writeUInt16BE(id, 0)
  header.writeUInt16BE(UPDATE, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(prerequisites.length, 6)
  header.writeUInt16BE(changes.length, 8)
  const zoneSection = Buffer.from([0, TYPES.SOA, 0, CLASSES.IN])
  return Buffer.concat([header, encodeName(zone), zoneSection, ...prerequisites, ...changes])
}

/** The last record of a message with the place where it begins; undefined when there is none. Throws for no message. */
export function lastRecord(
  bytes: Buffer,
): { name: string; type: string; start: number; rdata: Buffer } | undefined {
  const [questions, ...others] = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at))
  const records = others.reduce((sum, count) => sum + count, 0)
  let start = 12
  let end = 12
  const skip = (part: Codec) => {
    start = end
    const decoded = part.decode(bytes, end)
    end += part.decode.bytes
    return decoded
  }
  for (let count = questions ?? 0; count > 0; count--) skip(codec.question)
  for (let count = records; count > 1; count--) skip(codec.answer)
  if (records === 0) return undefined
  const { name, type, data } = skip(codec.answer)
  if (end > bytes.length) throw new RangeError('a record is cut off')
  const rdata = Buffer.isBuffer(data) ? data : Buffer.alloc(0)
  return { name: name.toLowerCase(), type, start, rdata }
}
