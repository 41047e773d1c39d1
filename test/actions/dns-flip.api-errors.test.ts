// What PowerDNS's API, or what stands before it, may answer at a bad moment: each error says what to do.
import type { ServerResponse } from 'node:http'
import { describe, expect, test } from 'vitest'
import { errorsOf, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { readsAfter, writes } from './dns-api-gate.ts'
import { gatedDnsScene } from './dns-gated-scene.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

const WWW = `www.${ZONE}`
const API = `api.${ZONE}`

const gated = gatedDnsScene()
const { values } = gated

/** A flip through the gate; its token is in no error, whatever the answers held. */
async function flip(inputs: Record<string, string> = {}) {
  const result = await gated.scene.flip({ 'api-url': gated.api.url, ...inputs })
  const printed = result.rawLog.split('\n').filter((line) => !line.startsWith('::add-mask::'))
  expect(printed.join('\n')).not.toContain(gated.scene.dns.apiKey)
  return result
}

/** An answer that holds the token, as an echo of the request would. */
const status =
  (code: number, text: string, headers = {}) =>
  (response: ServerResponse) =>
    response.writeHead(code, headers).end(`${text} (key ${gated.scene.dns.apiKey})`)

/** Headers that promise more than comes. */
const endsEarly = (response: ServerResponse) => {
  response.writeHead(200, { 'content-length': 1_000 }).write('{"rrsets":[')
  setTimeout(() => response.destroy(), 20)
}

type Shape = [string, (response: ServerResponse) => void, RegExp]
const SHAPES: Shape[] = [
  [
    '401',
    status(401, 'Unauthorized'),
    /status 401: Unauthorized \(key \*\*\*\)[\s\S]*What to do: `token` must be/,
  ],
  ['403', status(403, 'Forbidden'), /status 403: Forbidden[\s\S]*What to do: .*webserver-allow-from/],
  [
    '404',
    status(404, 'Not Found'),
    /status 404: Not Found[\s\S]*What to do: `zone` must be a zone of this server/,
  ],
  ['409', status(409, 'Conflict'), /status 409: Conflict[\s\S]*What to do: .*look at the zone/],
  [
    '422',
    status(422, '{"error":"RRset has no records"}'),
    /status 422: .*no records[\s\S]*What to do: PowerDNS takes/,
  ],
  ['500', status(500, 'Internal Server Error'), /status 500[\s\S]*What to do: look at the server's log/],
  ['text that is no JSON', status(200, '<html>'), /is not the PowerDNS API[\s\S]*What to do: `api-url`/],
  ['an answer that ends early', endsEarly, /gives no answer[\s\S]*What to do: /],
]

describe('at the read before the first write', () => {
  const match = readsAfter(WWW, ({ path }) => path.includes(`rrset_name=${API}.`))
  test.each(SHAPES)('%s', async (_, respond, message) => {
    // Reads are repeated where that may help.
    gated.api.answer(match, respond, 3)
    const before = await gated.scene.dns.serial(ZONE)
    expectFailure(await flip(), message)
    expect(await gated.scene.dns.serial(ZONE)).toBe(before)
  })
})

describe('at a write', () => {
  test.each(SHAPES)('%s: the canary is back, and the rest was never touched', async (_, respond, message) => {
    gated.api.answer(writes(API, NEW), respond)
    const result = await flip()
    expectFailure(result, message, /www\.example\.test A is back at the old value/)
    expectFailure(result, /api\.example\.test A holds the old value/)
    expect(await values()).toEqual([OLD, OLD])
  })

  test('a write that was carried out, though its answer was cut off, counts', async () => {
    gated.api.spoil(writes(WWW, NEW), (response) => response.destroy())
    expectSuccess(await flip())
    expect(await values()).toEqual([NEW, NEW])
  })

  test('one that nobody answers is looked at again, and is an error that says so', async () => {
    gated.api.answer(writes(WWW, NEW), () => {})
    const result = await flip()
    expectFailure(result, /the PowerDNS API gives no answer/, /What to do: check `api-url`/)
    expect(await values()).toEqual([OLD, OLD])
  })
})

test('reads are repeated after 429 and 503, and after a connection that was cut', async () => {
  gated.api.answer(() => true, status(429, 'Too Many Requests', { 'retry-after': '1' }))
  gated.api.answer(() => true, status(503, 'Service Unavailable'))
  expectSuccess(await flip())
  gated.api.reset()
  await gated.scene.reset()
  gated.api.answer(() => true, endsEarly)
  expectSuccess(await flip())
})

test('a revert that fails says which record to look at', async () => {
  gated.api.answer(writes(WWW, OLD), status(500, 'Internal Server Error'), 20)
  const result = await flip({ verify: 'false' })
  expectFailure(result, /www\.example\.test A could not be read or written: look at it[\s\S]*status 500/)
  expect(errorsOf(result)).toContain(`${WWW} A`)
  expect(await values()).toEqual([NEW, OLD])
})
