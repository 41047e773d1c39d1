import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import process from 'node:process'
import type { Duplex } from 'node:stream'
import type { Client } from 'ssh2'

/** What ssh2 keeps to itself, see early-login.ts. */
interface Innards {
  readonly _protocol?: {
    readonly _cipher?: Cipher
    readonly _decipher?: { _decipherKey?: Buffer | KeyObject }
  }
}

/** Encrypts what is sent; `allocPacket` makes room for so many bytes, framed by length and padding. */
interface Cipher {
  _encKey?: Buffer | KeyObject
  allocPacket(payloadBytes: number): Buffer
  _onWrite(bytes: Buffer): void
}

/**
 * Bytes that do not wait for the turn's end, until which they are held in memory. Less, and the server's sshd is woken more
 * often for the same.
 */
const ENOUGH = 1024 * 1024

/**
 * Sends what is written in one turn of the event loop at once: ssh2 writes each packet in three parts, which would be
 * three system calls here and three wake-ups of the server's sshd.
 */
export function joinWrites(socket: Duplex): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  socket.write = (...args: unknown[]) => {
    if (socket.writableCorked === 0) {
      socket.cork()
      process.nextTick(() => socket.uncork())
    }
    const mayGoOn = write(...args)
    if (socket.writableLength >= ENOUGH) {
      socket.uncork()
      socket.cork()
    }
    return mayGoOn
  }
}

/** Takes from AES-GCM, as ssh2 uses it, what takes longer than to encrypt. After a change of keys it is as it was. */
export function quickenCiphers(client: Client): void {
  const { _cipher: cipher, _decipher: decipher } = (client as Client & Innards)._protocol ?? {}
  // They begin anew with each packet, and Node 24 takes long to find out that bytes are no key of its own kind.
  if (Buffer.isBuffer(cipher?._encKey)) {
    cipher._encKey = createSecretKey(cipher._encKey)
    reuseMemory(cipher)
  }
  if (Buffer.isBuffer(decipher?._decipherKey)) decipher._decipherKey = createSecretKey(decipher._decipherKey)
}

const LARGE = 16 * 1024
const LARGEST = 64 * 1024
/** What is encrypted is a multiple of this (RFC 5647, 7.2), with at least 4 bytes of padding (RFC 4253, 6). */
const ALIGNMENT = 16
const LEAST_PADDING = 4

/**
 * Builds large packets, which are encrypted at once, in memory that is used again and with padding that is: ssh2 takes new
 * memory and random bytes for each. The padding protects nothing here, since no two packets are encrypted alike.
 */
function reuseMemory(cipher: Cipher): void {
  const memory = Buffer.allocUnsafeSlow(LARGEST)
  const padding = randomBytes(2 * ALIGNMENT)
  const alloc = cipher.allocPacket.bind(cipher)
  const write = cipher._onWrite
  cipher.allocPacket = (payloadBytes) => {
    if (payloadBytes < LARGE || payloadBytes > LARGEST - 3 * ALIGNMENT) return alloc(payloadBytes)
    let padBytes = ALIGNMENT - ((1 + payloadBytes) % ALIGNMENT)
    if (padBytes < LEAST_PADDING) padBytes += ALIGNMENT
    const packet = memory.subarray(0, 4 + 1 + payloadBytes + padBytes)
    packet.writeUInt32BE(packet.length - 4)
    packet[4] = padBytes
    packet.set(padding.subarray(0, padBytes), 5 + payloadBytes)
    return packet
  }
  // Sent as it stands is only the length, which is copied: it may wait until the memory is used again.
  cipher._onWrite = (bytes) => write(bytes.buffer === memory.buffer ? Buffer.from(bytes) : bytes)
}
