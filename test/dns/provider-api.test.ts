import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { ProviderApi } from '../../src/dns/provider-api.ts'
import { recordingContext } from '../ssh/recording-context.ts'

let server: Server | undefined
afterEach(() => {
  server?.close()
  server?.closeAllConnections()
})

const NOW = Date.parse('2026-01-02T03:04:05Z')

/** An API that gives these answers, the last one for ever; a clock that keeps what it was asked to wait for. */
async function startApi(...answers: { status: number; retryAfter?: string }[]) {
  const requests: string[] = []
  const waits: number[] = []
  server = createServer((request, response) => {
    const { status, retryAfter } = answers[Math.min(requests.length, answers.length - 1)] ?? { status: 500 }
    requests.push(request.method ?? '')
    response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end('{}')
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const baseUrl = `http://127.0.0.1:${port}`
  const api = new ProviderApi({ baseUrl, headers: {}, secret: 'THE-TOKEN', name: 'Test' })
  const recording = recordingContext()
  const clock = {
    ...recording.clock,
    now: () => NOW,
    sleep: async (ms: number, signal?: AbortSignal) => {
      signal?.throwIfAborted()
      waits.push(ms)
    },
  }
  return { api, requests, waits, lines: recording.lines, context: { ...recording, clock }, recording }
}

test.each([
  ['seconds', '7', 7_000],
  ['a date', 'Fri, 02 Jan 2026 03:04:35 GMT', 30_000],
  ['a date that has passed', 'Fri, 02 Jan 2026 03:00:00 GMT', 1_000],
  ['no time at all', '0', 1_000],
  ['something else', 'soon', 1_000],
  ['nothing', undefined, 1_000],
])('too many requests, with %s as retry-after: waits, says so, and asks again', async (_, retryAfter, wait) => {
  const busy = { status: 429, ...(retryAfter === undefined ? {} : { retryAfter }) }
  const { api, requests, waits, lines, context } = await startApi(busy, { status: 200 })
  expect((await api.get('/', context)).status).toBe(200)
  expect(waits).toEqual([wait])
  expect(requests).toEqual(['GET', 'GET'])
  expect(lines.join()).toContain(`the Test API has had too many requests: waiting ${wait / 1_000}.0 s`)
})

test('a write that was refused for that is sent again: it was not carried out', async () => {
  const { api, requests, context } = await startApi({ status: 429, retryAfter: '1' }, { status: 204 })
  expect((await api.write('PATCH', '/', {}, context)).status).toBe(204)
  expect(requests).toEqual(['PATCH', 'PATCH'])
})

test('a write that failed otherwise is not', async () => {
  const { api, requests, context } = await startApi({ status: 503, retryAfter: '1' })
  expect((await api.write('PATCH', '/', {}, context)).status).toBe(503)
  expect(requests).toEqual(['PATCH'])
})

test('a wait that is too long is not begun', async () => {
  const { api, requests, waits, context } = await startApi({ status: 429, retryAfter: '3600' })
  expect((await api.get('/', context)).status).toBe(429)
  expect([requests.length, waits]).toEqual([1, []])
})

test('all waits together have an end', async () => {
  const { api, waits, context } = await startApi({ status: 429, retryAfter: '200' })
  expect((await api.get('/', context)).status).toBe(429)
  expect(waits).toEqual([200_000, 200_000, 200_000])
  expect((await api.write('PATCH', '/', {}, context)).status).toBe(429)
  expect(waits).toHaveLength(3)
})

test('without a word on how long, the waits grow', async () => {
  const { api, waits, context } = await startApi({ status: 429 })
  expect((await api.get('/', context)).status).toBe(429)
  expect(waits.slice(0, 8)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
})

test('a cancel ends a wait', async () => {
  const { api, requests, recording } = await startApi({ status: 429, retryAfter: '500' })
  const asked = api.get('/', {
    ...recording,
    log: { ...recording.log, info: () => recording.abort() },
  })
  await expect(asked).rejects.toMatchObject({ name: 'Cancelled' })
  expect(requests).toEqual(['GET'])
})

test('a busy server is asked three times', async () => {
  const { api, requests, context } = await startApi({ status: 503 })
  expect((await api.get('/', context)).status).toBe(503)
  expect(requests).toHaveLength(3)
})
