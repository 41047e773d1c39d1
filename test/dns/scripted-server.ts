// A name server or resolver that gives the answers of a script, one after another, as several backends would.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import * as packet from 'dns-packet'
import type { Endpoint } from '../../src/dns/query.ts'

export interface ScriptedServer extends Endpoint {
  /** How many questions it was asked. */
  asked(): number
  stop(): void
}

/** `addresses` are its answers in turn, the last one for ever; TTL 60. */
export async function startScriptedServer(addresses: readonly string[]): Promise<ScriptedServer> {
  const socket = createSocket('udp4')
  let asked = 0
  socket.on('message', (message, from) => {
    const { id, questions = [] } = packet.decode(message)
    const data = addresses[Math.min(asked++, addresses.length - 1)] ?? ''
    const answers = questions.map(({ name }) => ({ name, type: 'A' as const, ttl: 60, data }))
    const flags = packet.AUTHORITATIVE_ANSWER
    socket.send(
      packet.encode({ type: 'response', id: id ?? 0, flags, questions, answers }),
      from.port,
      from.address,
    )
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { ip: '127.0.0.1', port: socket.address().port, asked: () => asked, stop: () => socket.close() }
}
