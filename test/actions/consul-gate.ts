// A proxy before Consul that stops a chosen write of a rollout, so that a test can break the run off right there.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** The writes of a rollout, in their order; those to the journal by what they note. */
export type Write =
  | 'session'
  | 'lease'
  | 'drain'
  | 'restarting'
  | 'restarted'
  | 'failed'
  | 'undrain'
  | 'release'

export interface HeldWrite {
  /** Lets Consul do it; whoever asked gets no answer. */
  deliver(): Promise<void>
  /** It never gets to Consul. */
  lose(): void
}

export interface ConsulGate {
  url: string
  /** Stops the next such write (or the n-th from now on); resolves when it is there. All others go on through. */
  hold(write: Write, nth?: number): Promise<HeldWrite>
  /** Cuts all connections. */
  cut(): void
  stop(): void
}

export async function startConsulGate(consulUrl: string): Promise<ConsulGate> {
  let wanted: { write: Write; left: number; take: (held: HeldWrite) => void } | undefined
  const forward = (incoming: IncomingMessage, body: Buffer, done: (answer: IncomingMessage) => void) => {
    const { method, headers } = incoming
    const onward = request(`${consulUrl}${incoming.url}`, { method, headers, agent: false }, done)
    onward.on('error', () => incoming.destroy())
    onward.end(body)
  }
  const server = createServer((incoming: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const body = Buffer.concat(chunks)
      const write = writeOf(incoming, body.toString('utf8'))
      if (wanted && wanted.write === write && --wanted.left === 0) {
        const { take } = wanted
        wanted = undefined
        take({
          lose: () => incoming.destroy(),
          deliver: () =>
            new Promise((resolve, reject) => {
              forward(incoming, body, (answer) => {
                answer.resume().on('end', () => {
                  incoming.destroy()
                  if (answer.statusCode === 200) resolve()
                  else reject(new Error(`Consul says ${answer.statusCode}`))
                })
              })
            }),
        })
        return
      }
      forward(incoming, body, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      })
    })
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: (write, nth = 1) =>
      new Promise((take) => {
        wanted = { write, left: nth, take }
      }),
    cut,
    stop: () => {
      server.close()
      cut()
    },
  }
}

function writeOf({ method, url = '' }: IncomingMessage, body: string): Write | undefined {
  if (method !== 'PUT') return undefined
  if (url.startsWith('/v1/session/create')) return 'session'
  if (url.includes('?acquire=')) return 'lease'
  if (!url.startsWith('/v1/txn')) return undefined
  const operations = (JSON.parse(body) as { KV: { Verb: string; Key: string; Value?: string } }[]).map(
    ({ KV }) => KV,
  )
  if (operations.some(({ Verb, Key }) => Verb === 'delete' && Key.endsWith('/lock'))) return 'release'
  const journal = operations.find(({ Key }) => Key.includes('/journal/'))
  if (journal?.Verb === 'cas') return 'drain'
  if (journal?.Verb === 'delete') return 'undrain'
  const { step } = JSON.parse(Buffer.from(journal?.Value ?? '', 'base64').toString() || '{}') as {
    step?: Write
  }
  return step
}
