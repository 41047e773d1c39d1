import type { Client } from 'ssh2'

/** What ssh2 keeps to itself, see early-login.ts. */
interface Innards {
  readonly _protocol?: {
    readonly _kexinit: unknown
    readonly _packetRW: {
      readonly write: {
        readonly allocStart: number
        alloc(bytes: number): Buffer
        finalize(packet: Buffer): Buffer
      }
    }
    readonly _cipher: { encrypt(packet: Buffer): void }
  }
}

const MSG_IGNORE = 2
/** Every server takes packets of this size (RFC 4253, 6.1). */
const PACKET_BYTES = 32_000

/** Sends messages that say nothing (RFC 4253, 11.2), of so many bytes in all; one, where that is 0. */
export function sendIgnored(client: Client, bytes: number): void {
  const { _protocol: protocol } = client as Client & Innards
  // While keys are exchanged anew, nothing may come between.
  if (protocol === undefined || protocol._kexinit !== undefined) return
  const { write } = protocol._packetRW
  let left = bytes
  do {
    const size = Math.min(left, PACKET_BYTES)
    const packet = write.alloc(1 + 4 + size)
    const start = write.allocStart
    packet[start] = MSG_IGNORE
    packet.writeUInt32BE(size, start + 1)
    // It is not empty when it is new: what lay there is nobody's business.
    packet.fill(0, start + 5, start + 5 + size)
    protocol._cipher.encrypt(write.finalize(packet))
    left -= size
  } while (left > 0)
}
