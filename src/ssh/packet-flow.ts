import { createSecretKey, type KeyObject } from 'node:crypto'
import process from 'node:process'
import type { Duplex } from 'node:stream'
import type { Client } from 'ssh2'

/** What ssh2 keeps to itself, see early-login.ts. */
interface Innards {
  readonly _protocol?: {
    readonly _cipher?: { _encKey?: Buffer | KeyObject }
    readonly _decipher?: { _decipherKey?: Buffer | KeyObject }
  }
}

/** Bytes that do not wait for the turn's end: they are held in memory until then. */
const ENOUGH = 64 * 1024

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

/**
 * Gives the ciphers their keys in the form that node:crypto works with. They begin anew with each packet, and Node 24
 * takes longer to find out that bytes are no such key than to encrypt a packet. After a change of keys the bytes do.
 */
export function prepareKeys(client: Client): void {
  const { _cipher: cipher, _decipher: decipher } = (client as Client & Innards)._protocol ?? {}
  if (Buffer.isBuffer(cipher?._encKey)) cipher._encKey = createSecretKey(cipher._encKey)
  if (Buffer.isBuffer(decipher?._decipherKey)) decipher._decipherKey = createSecretKey(decipher._decipherKey)
}
