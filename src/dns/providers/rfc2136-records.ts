import type { RecordType as CodecType, DecodedPacket } from 'dns-packet'
import { isRecordType, parseValue, type RecordSet } from '../record.ts'

/** What a plan looks at: each is asked for by itself, since a server may answer ANY with a part (RFC 8482). */
export const READ_TYPES = ['A', 'AAAA', 'CNAME', 'NS', 'HTTPS', 'SVCB'] as const
export type ReadType = (typeof READ_TYPES)[number]

/** The codec has no names for some types. */
const CODES: Readonly<Record<string, string>> = { HTTPS: 'UNKNOWN_65', SVCB: 'UNKNOWN_64' }
export const typeCode = (type: ReadType | 'SOA'): CodecType => (CODES[type] ?? type) as CodecType

/**
 * The set of that name and type in an authoritative answer, or in the referral to the name servers of a delegated
 * zone. What a CNAME leads to belongs to another name.
 */
export function recordSetOf(
  { flag_aa: authoritative, answers = [], authorities = [] }: DecodedPacket,
  name: string,
  type: ReadType,
  zone: string,
): RecordSet | undefined {
  const referral = !authoritative && type === 'NS' && name !== zone
  const records = (referral ? authorities : authoritative ? answers : []).filter(
    (record) => record.name.toLowerCase() === name && record.type === typeCode(type),
  ) as { ttl?: number; data: unknown }[]
  if (records.length === 0) return undefined
  const ttl = Math.min(...records.map((record) => record.ttl ?? 0))
  return { name, type, ttl, values: records.map(({ data }) => textOf(type, data)) }
}

function textOf(type: ReadType, data: unknown): string {
  if (Buffer.isBuffer(data)) return serviceText(data)
  const text = String(data).toLowerCase()
  return isRecordType(type) ? (parseValue(type, text) ?? text) : text
}

const IPV4_HINT = 4
const IPV6_HINT = 6

/** An HTTPS or SVCB record in presentation form (RFC 9460, section 2.1), of its parameters the address hints only. */
function serviceText(data: Buffer): string {
  const parts = [String(data.readUInt16BE(0))]
  const labels: string[] = []
  let at = 2
  for (let length = data.readUInt8(at); length > 0; length = data.readUInt8(at)) {
    labels.push(data.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  parts.push(`${labels.join('.').toLowerCase()}.`)
  for (at += 1; at + 4 <= data.length; ) {
    const key = data.readUInt16BE(at)
    const value = data.subarray(at + 4, at + 4 + data.readUInt16BE(at + 2))
    if (key === IPV4_HINT) parts.push(`ipv4hint=${addresses(value, 4).map(ipv4)}`)
    if (key === IPV6_HINT) parts.push(`ipv6hint=${addresses(value, 16).map(ipv6)}`)
    at += 4 + value.length
  }
  return parts.join(' ')
}

function addresses(bytes: Buffer, size: number): Buffer[] {
  const count = Math.floor(bytes.length / size)
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * size, (index + 1) * size))
}

const ipv4 = (bytes: Buffer): string => bytes.join('.')

function ipv6(bytes: Buffer): string {
  const text = (bytes.toString('hex').match(/.{4}/g) ?? []).join(':')
  return parseValue('AAAA', text) ?? text
}
