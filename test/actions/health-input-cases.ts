// The cases of the health inputs, the same for every action that checks health.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import { freePort } from '../bed/ports.ts'
import type { ActionResult } from '../harness/action-result.ts'
import { expectFailure, expectSuccess, type InputCases } from '../harness/input-cases.ts'

/** A web server that answers every request in the same way and counts them. */
export interface CountingServer {
  readonly url: string
  readonly requests: () => number
  stop(): Promise<void>
}

export async function startCountingServer(status = 200, body = 'fine'): Promise<CountingServer> {
  let requests = 0
  const server: Server = createServer((_request, response) => {
    requests++
    response.writeHead(status).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/health`,
    requests: () => requests,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function withServer(
  answer: { status?: number; body?: string },
  work: (server: CountingServer) => Promise<void>,
): Promise<void> {
  const server = await startCountingServer(answer.status, answer.body)
  try {
    await work(server)
  } finally {
    await server.stop()
  }
}

const SOON = { 'health-timeout': '2s', 'health-interval': '50ms' }

/**
 * The cases. `run` runs the action with inputs that succeed and check no health, the given ones over them; a server
 * that is not healthy must make it fail with the last answer in its error.
 */
export function healthInputCases(
  run: (overrides: Record<string, string>) => Promise<ActionResult>,
): InputCases {
  return {
    'health-url': () =>
      withServer({ status: 503, body: 'not yet' }, async ({ url }) => {
        expectFailure(await run({ 'health-url': url, ...SOON }), /status 503/, /not yet/)
      }),
    'health-command': async () => {
      expectFailure(await run({ 'health-command': 'echo unwell; exit 7', ...SOON }), /exit code 7/, /unwell/)
    },
    'health-tcp': async () => {
      expectFailure(await run({ 'health-tcp': String(await freePort()), ...SOON }), /not healthy|unhealthy/i)
    },
    'health-from': () =>
      withServer({}, async ({ url }) => {
        const port = await freePort()
        const result = await run({ 'health-url': url, 'health-from': `u@127.0.0.1:${port}` })
        expectFailure(result, `u@127.0.0.1:${port}: cannot connect`)
      }),
    'health-interval': () =>
      withServer({ status: 503 }, async ({ url, requests }) => {
        // The default of 1 s would allow 7 probes in 4 s.
        await run({ 'health-url': url, 'health-interval': '10ms', 'health-timeout': '4s' })
        expect(requests()).toBeGreaterThan(12)
      }),
    'health-timeout': () =>
      withServer({ status: 503 }, async ({ url }) => {
        // The default of 120 s outlasts the test.
        expectFailure(await run({ 'health-url': url, 'health-timeout': '2s' }), /status 503/)
      }),
    'healthy-threshold': () =>
      withServer({}, async ({ url, requests }) => {
        expectSuccess(await run({ 'health-url': url, 'healthy-threshold': '7', 'health-interval': '10ms' }))
        expect(requests()).toBeGreaterThanOrEqual(7)
      }),
    'expect-status': () =>
      withServer({}, async ({ url }) => {
        expectFailure(await run({ 'health-url': url, 'expect-status': '418', ...SOON }), /status 200/)
      }),
    'expect-body': () =>
      withServer({}, async ({ url }) => {
        expectFailure(await run({ 'health-url': url, 'expect-body': 'all is well', ...SOON }), /all is well/)
      }),
  }
}
