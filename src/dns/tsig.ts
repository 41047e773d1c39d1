// Signatures of DNS messages by a shared secret (TSIG, RFC 8945), for one message each way.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { encodeName, lastRecord } from './wire.ts'

/** By the hash in their names; HMAC-MD5 is too weak to be offered (RFC 8945, section 6). */
export const TSIG_ALGORITHMS = [
  'hmac-sha256',
  'hmac-sha224',
  'hmac-sha384',
  'hmac-sha512',
  'hmac-sha1',
] as const
export type TsigAlgorithm = (typeof TSIG_ALGORITHMS)[number]

export interface TsigKey {
  /** Lower case, without the final dot. */
  readonly name: string
  readonly algorithm: TsigAlgorithm
  readonly secret: Buffer
}

const TSIG = 250
const CLASS_ANY = 255
/** Seconds by which clocks may differ (RFC 8945, section 10, recommends 300). */
const FUDGE = 300
const BADTIME = 18

/** The message with its signature at the end; `mac` is needed to verify the answer. `time`: seconds since 1970. */
export function signMessage(message: Buffer, key: TsigKey, time: number): { bytes: Buffer; mac: Buffer } {
  const fields = { time, fudge: FUDGE, error: 0, other: Buffer.alloc(0) }
  const mac = hmac(key, [message, variables(key, fields)])
  const rdata = Buffer.concat([
    encodeName(key.algorithm),
    u48(time),
    u16(FUDGE),
    u16(mac.length),
    mac,
    message.subarray(0, 2), // the original id
    u16(0),
    u16(0),
  ])
  const head = Buffer.concat([encodeName(key.name), u16(TSIG), u16(CLASS_ANY), Buffer.alloc(4)])
  const bytes = Buffer.concat([message, head, u16(rdata.length), rdata])
  bytes.writeUInt16BE(bytes.readUInt16BE(10) + 1, 10)
  return { bytes, mac }
}

/** What the signature of an answer is worth. */
export interface TsigCheck {
  /** `valid`: made with this key for this question, a moment ago. */
  readonly verdict: 'valid' | 'unsigned' | 'forged' | 'stale'
  /** The server's complaint about the question's signature (16 BADSIG, 17 BADKEY, 18 BADTIME); 0 for none. */
  readonly error: number
  /** Seconds since 1970 by the server's clock; undefined without a signature. */
  readonly serverTime: number | undefined
}

/**
 * Checks the signature of an answer to the message that `requestMac` signed. An answer that complains of the key or
 * the signature (`error` 16 or 17) cannot be signed itself.
 * Throws when the bytes are no DNS message.
 */
export function checkAnswer(bytes: Buffer, key: TsigKey, requestMac: Buffer, time: number): TsigCheck {
  const last = lastRecord(bytes)
  if (last?.type !== 'TSIG') return { verdict: 'unsigned', error: 0, serverTime: undefined }
  const signature = parseRdata(last.rdata)
  const { error, other } = signature
  if (signature.mac.length === 0) return { verdict: 'unsigned', error, serverTime: undefined }
  // Of BADTIME the other data is the server's time; the time signed is the client's.
  const serverTime = error === BADTIME && other.length === 6 ? other.readUIntBE(0, 6) : signature.time
  const message = Buffer.from(bytes.subarray(0, last.start))
  message.writeUInt16BE(signature.originalId, 0)
  message.writeUInt16BE(message.readUInt16BE(10) - 1, 10)
  const expected = hmac(key, [u16(requestMac.length), requestMac, message, variables(key, signature)])
  const genuine =
    last.name === key.name &&
    signature.algorithm === key.algorithm &&
    signature.mac.length === expected.length &&
    timingSafeEqual(signature.mac, expected)
  if (!genuine) return { verdict: 'forged', error, serverTime }
  const stale = error !== BADTIME && Math.abs(time - signature.time) > signature.fudge
  return { verdict: stale ? 'stale' : 'valid', error, serverTime }
}

interface Fields {
  readonly time: number
  readonly fudge: number
  readonly error: number
  readonly other: Buffer
}

/** RFC 8945, section 4.3.3. */
function variables(key: TsigKey, { time, fudge, error, other }: Fields): Buffer {
  return Buffer.concat([
    encodeName(key.name),
    u16(CLASS_ANY),
    Buffer.alloc(4),
    encodeName(key.algorithm),
    u48(time),
    u16(fudge),
    u16(error),
    u16(other.length),
    other,
  ])
}

/** RFC 8945, section 4.2. The algorithm's name is never compressed. */
function parseRdata(rdata: Buffer): Fields & { algorithm: string; mac: Buffer; originalId: number } {
  const labels: string[] = []
  let at = 0
  for (let length = rdata.readUInt8(at); length > 0; length = rdata.readUInt8(at)) {
    labels.push(rdata.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  at += 1
  const macEnd = at + 10 + rdata.readUInt16BE(at + 8)
  return {
    algorithm: labels.join('.').toLowerCase(),
    time: rdata.readUIntBE(at, 6),
    fudge: rdata.readUInt16BE(at + 6),
    mac: rdata.subarray(at + 10, macEnd),
    originalId: rdata.readUInt16BE(macEnd),
    error: rdata.readUInt16BE(macEnd + 2),
    other: rdata.subarray(macEnd + 6, macEnd + 6 + rdata.readUInt16BE(macEnd + 4)),
  }
}

function hmac({ algorithm, secret }: TsigKey, parts: readonly Buffer[]): Buffer {
  const made = createHmac(algorithm.slice('hmac-'.length), secret)
  for (const part of parts) made.update(part)
  return made.digest()
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function u48(value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(value, 0, 6)
  return bytes
}
