// Stands between a client and a name server, over TCP, and may meddle with updates.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { exchangeOverTcp } from '../../src/dns/query.ts'

/** What becomes of an update's answer; undefined closes the connection without one. */
export type Meddle = (
  update: Buffer,
  forward: (message: Buffer) => Promise<Buffer>,
) => Promise<Buffer | undefined>

export interface Between {
  /** `dns://127.0.0.1:<port>` */
  url: string
  stop(): Promise<void>
}

/** Passes everything on; the first update that changes something goes through `meddle`. */
export async function startBetween(
  server: { address: string; port: number },
  meddle: Meddle,
): Promise<Between> {
  let met = false
  const signal = AbortSignal.timeout(60_000)
  const forward = async (message: Buffer): Promise<Buffer> => {
    const [answer] = await exchangeOverTcp(
      { ip: server.address, port: server.port },
      [message],
      5_000,
      signal,
    )
    if (answer === undefined) throw new Error('no answer')
    return answer
  }
  const answerTo = async (message: Buffer): Promise<Buffer | undefined> => {
    if (met || !changesSomething(message)) return await forward(message)
    met = true
    return await meddle(message, forward)
  }
  const open = new Set<Socket>()
  const listener = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
    let received = Buffer.alloc(0)
    socket.on('data', (part: Buffer) => {
      received = Buffer.concat([received, part])
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const message = received.subarray(2, 2 + received.readUInt16BE(0))
        received = received.subarray(2 + message.length)
        answerTo(message).then(
          (answer) => (answer ? socket.write(framed(answer)) : socket.destroy()),
          () => socket.destroy(),
        )
      }
    })
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  return {
    url: `dns://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    stop: async () => {
      for (const socket of open) socket.destroy()
      listener.close()
      await once(listener, 'close')
    },
  }
}

/** An UPDATE (opcode 5) that replaces a set: one that only tries the key has a single change, which changes nothing. */
const changesSomething = (message: Buffer) =>
  ((message[2] ?? 0) >> 3) % 16 === 5 && message.readUInt16BE(8) > 1

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}
