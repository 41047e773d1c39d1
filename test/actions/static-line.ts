// A way to a test server that can be cut or held, and works again afterwards.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { until } from '../bed/process.ts'
import type { Sshd } from '../bed/sshd.ts'

export interface Line {
  /** The inputs by which an action takes this way. */
  readonly inputs: Record<string, string>
  cut(): void
  /** From now on so many connections are let in, and no further one. */
  letIn(connections: number): void
  /** From now on a connection comes to a halt after so many bytes towards the server; one alone does. */
  haltAfter(bytes: number): void
  /** Resolves once one has. */
  halted(): Promise<void>
  /** Lets the one that came to a halt go on. */
  resume(): void
  close(): void
}

export async function startLine(sshd: Sshd): Promise<Line> {
  const sockets = new Set<Socket>()
  let limit = Number.POSITIVE_INFINITY
  let isHalted = false
  let resume = () => {}
  let room = Number.POSITIVE_INFINITY
  // With Nagle's algorithm on the way, each question and answer would take some 40 ms.
  const server = createServer({ noDelay: true }, (near) => {
    if (room-- <= 0) {
      near.resetAndDestroy()
      return
    }
    const far = connect({ host: sshd.host, port: sshd.port, noDelay: true })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => {})
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    far.pipe(near)
    let bytes = 0
    near.on('data', (chunk) => {
      bytes += chunk.length
      far.write(chunk)
      if (bytes < limit || isHalted) return
      isHalted = true
      near.pause()
      resume = () => near.resume()
    })
    near.on('end', () => far.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const cut = () => {
    for (const socket of [...sockets]) socket.resetAndDestroy()
    sockets.clear()
  }
  return {
    inputs: {
      host: `${sshd.user}@127.0.0.1:${port}`,
      'known-hosts': `[127.0.0.1]:${port} ${sshd.hostKeys[0]?.publicKey}`,
    },
    cut,
    letIn: (connections) => {
      room = connections
    },
    haltAfter: (bytes) => {
      limit = bytes
      isHalted = false
    },
    halted: () => until('the line halts', () => isHalted, 20_000),
    resume: () => resume(),
    close: () => {
      server.close()
      cut()
    },
  }
}
