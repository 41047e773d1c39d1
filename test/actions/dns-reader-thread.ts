import { createSocket } from 'node:dgram'
import { parentPort, workerData } from 'node:worker_threads'
import * as packet from 'dns-packet'

const { address, port, names } = workerData as { address: string; port: number; names: string[] }
const AT_ONCE = 8
const kinds = new Set<string>()
let answers = 0
let id = 0
const socket = createSocket('udp4')
const ask = (): void => {
  id = (id + 1) % 65_536
  const name = names[id % names.length] ?? ''
  socket.send(packet.encode({ type: 'query', id, questions: [{ name, type: 'A' }] }), port, address)
}
socket.on('message', (bytes) => {
  const message = packet.decode(bytes) as packet.DecodedPacket & { rcode: string }
  const addresses = (message.answers ?? []).map((answer) => ('data' in answer ? String(answer.data) : ''))
  kinds.add([message.rcode, ...addresses.sort()].join(' '))
  answers += 1
  ask()
})
socket.bind(0, '127.0.0.1', () => {
  for (let count = 0; count < AT_ONCE; count++) ask()
})
// A lost datagram must not end the reading.
setInterval(ask, 200)
parentPort?.on('message', () => parentPort?.postMessage({ answers, kinds: [...kinds] }))
