// A TCP proxy that makes a connection as slow as one over a distance, and counts its turns.
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net'

export interface DelayingProxy {
  readonly port: number
  /** When the client has sent something after the server had: round trips that somebody waited for, at most. */
  turns: number[]
  stop(): void
}

/** Everything arrives `oneWayMs` later, in each direction. */
export async function startDelayingProxy(
  { host, port }: { host: string; port: number },
  oneWayMs: number,
): Promise<DelayingProxy> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (near) => {
    const far = dial({ host, port, noDelay: true })
    let last: 'near' | 'far' = 'far'
    const pass = (from: Socket, to: Socket, who: 'near' | 'far') => {
      sockets.add(from)
      from.on('data', (chunk: Buffer) => {
        if (who === 'near' && last === 'far') proxy.turns.push(Date.now())
        last = who
        setTimeout(() => to.writable && to.write(chunk), oneWayMs)
      })
      from.on('end', () => setTimeout(() => to.end(), oneWayMs))
      from.on('error', () => to.destroy())
      from.on('close', () => sockets.delete(from))
    }
    pass(near, far, 'near')
    pass(far, near, 'far')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: DelayingProxy = {
    port: (server.address() as AddressInfo).port,
    turns: [],
    stop() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
  return proxy
}
