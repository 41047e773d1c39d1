import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

const handedOut = new Set<number>()

/**
 * A port nobody listens on, for TCP and UDP, at a loopback address. It lies below the range from which the
 * kernel takes the ports of outgoing connections (32768 and up), so load cannot occupy it; another suite may
 * still be quicker, so start servers through `onFreePorts`.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 10_000 + Math.floor(Math.random() * 22_000)
    if (handedOut.has(port) || !(await isFree(host, port))) continue
    handedOut.add(port)
    return port
  }
  throw new Error(`no free port found at ${host} in 200 tries`)
}

export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) ports.push(await freePort(host))
  return ports
}

async function isFree(host: string, port: number): Promise<boolean> {
  const tcp = createServer()
  const udp = createSocket('udp4')
  try {
    tcp.listen({ host, port, exclusive: true })
    await once(tcp, 'listening')
    udp.bind({ address: host, port, exclusive: true })
    await once(udp, 'listening')
    return true
  } catch {
    return false
  } finally {
    tcp.close()
    udp.close()
  }
}
