// Stands before the API of a scene's PowerDNS and counts what passes.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { DnsScene } from './dns-scene.ts'

export interface HeldApi {
  url: string
  /** Every request that has come, as `GET /path`. */
  requests: string[]
  /** Resolves when the write to be held up has come. */
  arrived: Promise<void>
  /** Passes it on, even if its sender is gone. */
  release(): void
  stop(): void
}

/** Holds up the n-th write (counted from 1) until `release`, or for good. */
export async function startHeldApi({ dns }: DnsScene, held = 0): Promise<HeldApi> {
  const requests: string[] = []
  let arrive = () => {}
  let release = () => {}
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  let writes = 0
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    requests.push(`${request.method} ${request.url}`)
    if (request.method === 'PATCH' && ++writes === held) {
      arrive()
      await released
    }
    const answer = await fetch(`${dns.apiUrl}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { 'X-API-Key': dns.apiKey },
      ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
    })
    response.writeHead(answer.status).end(await answer.text())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    arrived,
    release: () => release(),
    stop: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
