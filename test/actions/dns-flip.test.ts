import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startLoad } from '../bed/load.ts'
import { freePort } from '../bed/ports.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gate } from './command-gate.ts'
import { type DnsScene, NEW, OLD, startDnsScene, ZONE } from './dns-scene.ts'

let scene: DnsScene
let wait: ReturnType<typeof gate>
beforeAll(async () => {
  scene = await startDnsScene([
    { name: 'alias', type: 'CNAME', values: ['www.example.test.'] },
    { name: '*.wild', type: 'A', values: [OLD] },
    { name: 'two', type: 'A', values: [OLD, '127.0.0.9'] },
    { name: 'six', type: 'A', values: [OLD] },
    { name: 'six', type: 'AAAA', values: ['::1'] },
    { name: 'hint', type: 'A', values: [OLD] },
    { name: 'hint', type: 'HTTPS', values: [`1 . alpn=h2 ipv4hint=${OLD}`] },
  ])
})
beforeEach(async () => {
  wait = gate()
  await scene.reset()
})
afterEach(() => wait.remove())
afterAll(() => scene?.stop())

const both = async () => [await scene.values('www'), await scene.values('api')]
const serial = () => scene.dns.serial(ZONE)

describe.each(['20', '24'] as const)('on Node %s', (node) => {
  test('both names lead to the new machine, in place, and the run says what was there', async () => {
    const result = await scene.flip({}, { node })
    expectSuccess(result)
    expect(await both()).toEqual([[NEW], [NEW]])
    expect((await scene.dns.recordSet(ZONE, 'www', 'A'))?.ttl).toBe(5)
    expect(result.outputs['changed']).toBe('2')
    expect(JSON.parse(result.outputs['snapshot'] ?? '')).toEqual({
      version: 1,
      zone: ZONE,
      records: ['www', 'api'].map((name) => ({
        name: `${name}.${ZONE}`,
        type: 'A',
        ttl: 5,
        values: [OLD],
        written: [NEW],
      })),
    })
    expect(Date.parse(result.outputs['safe-from'] ?? '')).toBeGreaterThan(0)
    const outcomes = JSON.parse(result.outputs['report'] ?? '').records
    expect(outcomes).toMatchObject([
      { name: `www.${ZONE}`, old: [OLD], new: [NEW], ttl: 5, outcome: 'written' },
      { name: `api.${ZONE}`, outcome: 'written' },
    ])
    expect(result.summary).toContain('written')
    expect(result.orphans).toEqual([])
  })
})

test('no request is lost while both machines serve', { timeout: 60_000 }, async () => {
  const load = await startLoad({
    url: ['www', 'api'].map((name) => `http://${name}.${ZONE}:${scene.port}/`),
    rate: 500,
    nameServer: `${scene.dns.address}:${scene.dns.port}`,
  })
  await load.more(300)
  expectSuccess(await scene.flip())
  // The answers of the old machine end with the TTL of five seconds.
  await load.more(3_000)
  const report = await load.stop()
  expect(report.byReason).toEqual({})
  expect(report.failed).toBe(0)
  expect(report.byNode['new machine']).toBeGreaterThan(0)
})

test('a dry run prints the plan and leaves the zone as it is', async () => {
  const before = await serial()
  const result = await scene.flip({ 'dry-run': 'true', verify: 'echo verify runs', 'after-flip': 'false' })
  expectSuccess(result)
  expect(await serial()).toBe(before)
  expect(result.log).toMatch(/www\.example\.test +A +127\.0\.0\.1 +127\.0\.0\.2 +5 +no +to be written/)
  expect(result.summary).toContain('to be written')
  expect(result.log).not.toContain('> verify runs')
  expect(result.outputs).toMatchObject({ changed: '0', snapshot: '' })
})

test('a second run finds nothing to do', async () => {
  expectSuccess(await scene.flip())
  const before = await serial()
  const result = await scene.flip()
  expectSuccess(result)
  expect(result.outputs['changed']).toBe('0')
  expect(await serial()).toBe(before)
})

describe('stops before anything is written', () => {
  test.each([
    [
      'a record that somebody else changed',
      `api A 127.0.0.7 -> ${NEW}`,
      /api.* neither the old \(127\.0\.0\.7\)/,
    ],
    ['a CNAME where an address is expected', `alias A ${OLD} -> ${NEW}`, /is a CNAME to www\.example\.test/],
    ['a name that a wildcard answers for', `x.wild A ${OLD} -> ${NEW}`, /answers for it come from \*\.wild/],
    ['more values than expected', `two A ${OLD} -> ${NEW}`, /more values than expected \(127\.0\.0\.9\)/],
    ['an AAAA left behind', `six A ${OLD} -> ${NEW}`, /leaves AAAA ::1 behind/],
    ['an HTTPS hint left behind', `hint A ${OLD} -> ${NEW}`, /leaves an HTTPS record .* behind/],
    ['a name that is not there', `nowhere A ${OLD} -> ${NEW}`, /records are changed, never made/],
  ])('%s', async (_, line, message) => {
    const before = await serial()
    const result = await scene.flip({ records: `www A ${OLD} -> ${NEW}\n${line}` })
    expectFailure(result, message, /nothing was changed/)
    expect(result.summary).toContain('REFUSED')
    expect(await serial()).toBe(before)
    expect(await scene.values('www')).toEqual([OLD])
  })

  test('a new machine that does not serve the live names', async () => {
    await scene.answerWith(503)
    const before = await serial()
    const result = await scene.flip()
    expectFailure(result, /the new target does not serve the live names/, /status 503/, /nothing was changed/)
    expect(await serial()).toBe(before)
  })

  test('a new machine where nothing listens', async () => {
    const before = await serial()
    const records = `www A ${OLD} -> 127.0.0.3`
    expectFailure(await scene.flip({ records }), /ECONNREFUSED/, /nothing was changed/)
    expect(await serial()).toBe(before)
  })

  test('name servers that say something else than the API', async () => {
    const other = await startDnsScene()
    try {
      await other.dns.replace(ZONE, { name: 'www', type: 'A', ttl: 5, values: ['127.0.0.8'] })
      const before = await serial()
      const nameservers = `${scene.inputs['nameservers']}\n${other.inputs['nameservers']}`
      const result = await scene.flip({ nameservers })
      expectFailure(
        result,
        /do not say what its provider says/,
        /www\.example\.test A 127\.0\.0\.8, not 127\.0\.0\.1/,
      )
      expect(await serial()).toBe(before)
    } finally {
      await other.stop()
    }
  })

  test("the zone's own name servers, of which none can be asked", async () => {
    const before = await serial()
    expectFailure(
      await scene.flip({ nameservers: '', resolvers: scene.inputs['nameservers'] ?? '' }),
      /ns1\.example\.test: .*127\.0\.0\.1/,
      /`nameservers`/,
    )
    expect(await serial()).toBe(before)
  })
})

describe('when something fails after the canary', () => {
  test('the names go back, and the rest was never touched', async () => {
    const result = await scene.flip({
      verify: 'echo "the shop is broken: $EVENKEEL_NAMES"\nexit 3\necho not reached',
    })
    expectFailure(result, /`verify` failed with exit code 3/, /the shop is broken: www\.example\.test/)
    expectFailure(result, /www\.example\.test A is back at the old value/)
    expect(await both()).toEqual([[OLD], [OLD]])
    expect(result.outputs).toMatchObject({ changed: '0' })
    expect(JSON.parse(result.outputs['report'] ?? '').records).toMatchObject([
      { outcome: 'reverted' },
      { outcome: 'not written' },
    ])
    expect(result.log).not.toContain('api.example.test A:')
  })

  test('on-failure: stop leaves them and says where they stand', async () => {
    const result = await scene.flip({ verify: 'false', 'on-failure': 'stop' })
    expectFailure(result, /www\.example\.test A holds the new value \(127\.0\.0\.2\)/)
    expect(await both()).toEqual([[NEW], [OLD]])
    expect(result.outputs['changed']).toBe('1')
  })

  test('a record that somebody else changes meanwhile is left alone', async () => {
    const foreign = ['127.0.0.9']
    const result = await scene.flip(
      { verify: wait.command },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          await scene.dns.replace(ZONE, { name: 'api', type: 'A', ttl: 5, values: foreign })
          wait.open()
        },
      },
    )
    expectFailure(result, /api\.example\.test A was changed by somebody else/, /is back at the old value/)
    expect(await both()).toEqual([[OLD], foreign])
  })

  test('a revert leaves alone what somebody else changed after the write', async () => {
    const foreign = ['127.0.0.9']
    const result = await scene.flip(
      { verify: `${wait.command}\nfalse` },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          await scene.dns.replace(ZONE, { name: 'www', type: 'A', ttl: 5, values: foreign })
          wait.open()
        },
      },
    )
    expectFailure(result, /www\.example\.test A was changed by somebody else and left alone/)
    expect(await both()).toEqual([foreign, [OLD]])
  })
})

describe('a run that does not come to its end', () => {
  const atTheGate = /at the gate: www/

  test('cancelled: the settle step goes back', async () => {
    const result = await scene.flip(
      { verify: wait.command },
      { during: (run) => run.waitForLog(atTheGate).then(() => run.cancel()) },
    )
    expect(result.conclusion).toBe('cancelled')
    expect(result.log).toMatch(/www\.example\.test A is back at the old value/)
    expect(await both()).toEqual([[OLD], [OLD]])
    expect(result.orphans).toEqual([])
  })

  test('cancelled with on-failure: stop: the settle step says where the names stand', async () => {
    const result = await scene.flip(
      { verify: wait.command, 'on-failure': 'stop' },
      { during: (run) => run.waitForLog(atTheGate).then(() => run.cancel()) },
    )
    expect(result.log).toMatch(/www\.example\.test A holds the new value/)
    expect(result.log).toContain('not written: api.example.test A')
    expect(await both()).toEqual([[NEW], [OLD]])
  })

  test('killed: the settle step goes back', async () => {
    const result = await scene.flip(
      { verify: wait.command },
      { during: (run) => run.waitForLog(atTheGate).then(() => run.kill9()) },
    )
    expect(result.conclusion).toBe('failure')
    expect(result.log).toMatch(/www\.example\.test A is back at the old value/)
    expect(await both()).toEqual([[OLD], [OLD]])
  })

  test('lost with its runner: the next run goes on from there', async () => {
    await scene.flip(
      { verify: wait.command },
      { during: (run) => run.waitForLog(atTheGate).then(() => run.lostRunner()) },
    )
    expect(await both()).toEqual([[NEW], [OLD]])
    const result = await scene.flip()
    expectSuccess(result)
    expect(result.log).toContain('www.example.test A: is 127.0.0.2 already')
    expect(result.outputs['changed']).toBe('1')
    expect(await both()).toEqual([[NEW], [NEW]])
    expect(JSON.parse(result.outputs['snapshot'] ?? '').records).toHaveLength(2)
  })
})

describe('going back by a snapshot', () => {
  test('brings the old values back', async () => {
    const { outputs } = await scene.flip()
    const result = await scene.flip({ records: '', restore: outputs['snapshot'] ?? '' })
    expectSuccess(result)
    expect(await both()).toEqual([[OLD], [OLD]])
  })

  test('never overwrites what somebody else has changed since', async () => {
    const { outputs } = await scene.flip()
    await scene.dns.replace(ZONE, { name: 'api', type: 'A', ttl: 5, values: ['127.0.0.9'] })
    const restore = outputs['snapshot'] ?? ''
    expectFailure(
      await scene.flip({ records: '', restore }),
      /api\.example\.test A is 127\.0\.0\.9/,
      /limit `names`/,
    )
    expect(await both()).toEqual([[NEW], ['127.0.0.9']])
    expectSuccess(await scene.flip({ records: '', restore, names: 'www' }))
    expect(await both()).toEqual([[OLD], ['127.0.0.9']])
  })
})

describe('errors of the API say what to do, and never hold the token', () => {
  test('zone not found', async () => {
    const inputs = { zone: 'other.test', records: `www A ${OLD} -> ${NEW}` }
    expectFailure(
      await scene.flip(inputs),
      /zone not found: other\.test/,
      /pdnsutil list-all-zones/,
      /nothing was changed/,
    )
  })

  test('a wrong token', async () => {
    const token = 'not-the-token-at-all'
    const result = await scene.flip({ token })
    expectFailure(result, /status 401/, /`api-key` in pdns\.conf/)
    expect(result.masks).toContain(token)
    expect(result.annotations.map(({ message }) => message).join()).not.toContain(token)
  })

  test('nobody there', async () => {
    const result = await scene.flip({ 'api-url': `http://127.0.0.1:${await freePort()}` })
    expectFailure(result, /the PowerDNS API gives no answer/, /ECONNREFUSED/, /check `api-url`/)
  })

  test.each([
    [200, '<html>a page</html>', /is not the PowerDNS API/],
    [403, 'Forbidden', /status 403: Forbidden[\s\S]*webserver-allow-from/],
    [500, 'boom: THE-TOKEN', /status 500: boom: \*\*\*[\s\S]*log/],
    [302, '', /without a redirect/],
  ])('status %i', async (status, body, message) => {
    const server = createServer((_, response) => response.writeHead(status, { location: '/x' }).end(body))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = server.address() as AddressInfo
      const result = await scene.flip({ 'api-url': `http://127.0.0.1:${port}`, token: 'THE-TOKEN' })
      expectFailure(result, message)
      expect(result.annotations.map(({ message: text }) => text).join()).not.toContain('THE-TOKEN')
    } finally {
      server.close()
    }
  })
})
