import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ActionRun } from '../harness/action-run.ts'
import { type DnsScene, OLD, startDnsScene } from './dns-scene.ts'

let scene: DnsScene
beforeAll(async () => {
  scene = await startDnsScene()
})
afterAll(() => scene?.stop())

/** Stands before the API; the first write is held up until `release`, and passed on even if its sender is gone. */
async function startSlowApi() {
  let arrived = () => {}
  let release = () => {}
  const writing = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (request.method === 'PATCH') {
      arrived()
      await held
    }
    const answer = await fetch(`${scene.dns.apiUrl}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { 'X-API-Key': scene.dns.apiKey },
      ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
    })
    response.writeHead(answer.status).end(await answer.text())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    writing,
    release: () => release(),
    stop: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

test('a cancel while a write is on its way: it comes to its end, and is brought back', async () => {
  const api = await startSlowApi()
  try {
    const result = await scene.flip(
      { 'api-url': api.url },
      {
        during: async (run: ActionRun) => {
          await api.writing
          void run.cancel()
          await run.waitForLog(/SIGINT: stopping/)
          api.release()
        },
      },
    )
    expect(result.conclusion).toBe('cancelled')
    expect(await scene.values('www')).toEqual([OLD])
    expect(result.log).toContain('www.example.test A: back to 127.0.0.1')
  } finally {
    api.stop()
  }
})
