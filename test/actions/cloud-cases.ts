// What the suites of both clouds have in common.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { CloudflareApi } from '../bed/cloudflare-api.ts'
import type { DigitalOceanApi } from '../bed/digitalocean-api.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import {
  type CloudName,
  type CloudScene,
  NEW,
  OLD,
  startCloudflareScene,
  startDigitalOceanScene,
  ZONE,
} from './cloud-scene.ts'
import { gate } from './command-gate.ts'

const clouds = {
  cloudflare: {
    start: startCloudflareScene,
    zonePath: /\/zones$/,
    recordsPath: /\/dns_records$/,
    writePath: /\/dns_records\/[0-9a-f]+$/,
    failed: (message: string, code: number) => ({
      result: null,
      success: false,
      errors: [{ code, message }],
      messages: [],
    }),
    permission: /Zone:Read and DNS:Edit/,
    writePermission: /permission DNS:Edit/,
    limits: /1,200 requests in five minutes/,
    status: /cloudflarestatus/,
    readOnly: (api: unknown) => ((api as CloudflareApi).permission = 'read'),
  },
  digitalocean: {
    start: startDigitalOceanScene,
    zonePath: /\/domains\/[^/]+$/,
    recordsPath: /\/records$/,
    writePath: /\/records\/\d+$/,
    failed: (message: string, _: number) => ({ id: 'some_error', message, request_id: 'r-1' }),
    permission: /personal access token/,
    writePermission: /domain:read and domain:update/,
    limits: /250 requests a minute/,
    status: /status\.digitalocean\.com/,
    readOnly: (api: unknown) => ((api as DigitalOceanApi).scopes = ['domain:read']),
  },
} as const

type Apis = { cloudflare: CloudflareApi; digitalocean: DigitalOceanApi }

/** The scene for all tests of a file: as it was before each; after each, nothing may have broken the description. */
export function sceneForAll<Name extends CloudName>(name: Name): () => CloudScene<Apis[Name]> {
  let scene: CloudScene<CloudflareApi | DigitalOceanApi>
  beforeAll(async () => {
    scene = await clouds[name].start()
  })
  beforeEach(() => scene.reset())
  afterEach(() => expect(scene.api.violations).toEqual([]))
  afterAll(async () => {
    await scene?.api.stop()
    await scene?.dns.stop()
  })
  return () => scene as CloudScene<Apis[Name]>
}

/** Registers the tests. */
export function describeCloud(name: CloudName): void {
  const cloud = clouds[name]
  const current = sceneForAll(name)
  let scene: CloudScene<CloudflareApi | DigitalOceanApi>
  let wait: ReturnType<typeof gate>
  beforeEach(() => {
    scene = current()
    wait = gate()
  })
  afterEach(() => wait.remove())

  const both = () => [scene.values('www'), scene.values('api')]
  const writes = () => scene.api.requests.filter(({ method }) => method !== 'GET')
  const one = { records: `www A ${OLD} -> ${NEW}` }

  test.each(['20', '24'] as const)('both names lead to the new machine, on Node %s', async (node) => {
    const result = await scene.flip({}, { node })
    expectSuccess(result)
    expect(both()).toEqual([[NEW], [NEW]])
    expect(result.outputs['changed']).toBe('2')
    expect(await scene.dns.dns.query(`www.${ZONE}`)).toEqual([{ address: NEW, ttl: 60 }])
    // The zone, a listing, then for each name a read, a write and a read-back.
    expect(scene.api.requests).toHaveLength(8)
    expect(result.orphans).toEqual([])
  })

  test('a dry run writes nothing', async () => {
    const result = await scene.flip({ 'dry-run': 'true' })
    expectSuccess(result)
    expect(result.log).toMatch(/www\.example\.test +A +127\.0\.0\.1 +127\.0\.0\.2 +60 .*to be written/)
    expect(writes()).toEqual([])
    expect(scene.api.requests).toHaveLength(2)
  })

  test('a second run finds nothing to do', async () => {
    expectSuccess(await scene.flip())
    scene.api.requests.length = 0
    const result = await scene.flip()
    expectSuccess(result)
    expect(result.outputs['changed']).toBe('0')
    expect(writes()).toEqual([])
  })

  test('one that fails after the canary goes back', async () => {
    const result = await scene.flip({ verify: 'exit 3' })
    expectFailure(result, /`verify` failed with exit code 3/, /www\.example\.test A is back at the old value/)
    expect(both()).toEqual([[OLD], [OLD]])
  })

  test('a cancelled one goes back by its settle step', async () => {
    const result = await scene.flip(
      { verify: wait.command },
      { during: (run) => run.waitForLog(/at the gate: www/).then(() => run.cancel()) },
    )
    expect(result.conclusion).toBe('cancelled')
    expect(result.log).toMatch(/www\.example\.test A is back at the old value/)
    expect(both()).toEqual([[OLD], [OLD]])
  })

  test('the snapshot brings the old values back', async () => {
    const { outputs } = await scene.flip()
    expectSuccess(await scene.flip({ records: '', restore: outputs['snapshot'] ?? '' }))
    expect(both()).toEqual([[OLD], [OLD]])
  })

  test('what somebody else changed after the plan is not overwritten', async () => {
    const result = await scene.flip(
      { verify: wait.command },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          await scene.change('api', '127.0.0.9')
          wait.open()
        },
      },
    )
    expectFailure(result, /api\.example\.test A was changed by somebody else/, /127\.0\.0\.9/)
    expect(both()).toEqual([[OLD], ['127.0.0.9']])
  })

  describe('a write whose answer says nothing is read back, and never repeated', () => {
    test.each([
      ['lost after it was carried out', 0, true],
      ['500 after it was carried out', 500, true],
      ['a page of a proxy after it was carried out', 200, true],
    ])('%s', async (_, status, after) => {
      const body = '<html>Bad gateway</html>'
      scene.api.fail({ method: 'PATCH', path: cloud.writePath, status, after, body })
      expectSuccess(await scene.flip(one))
      expect(scene.values('www')).toEqual([NEW])
      expect(writes()).toHaveLength(1)
    })

    test.each([
      ['lost before it was carried out', 0, /gives no answer/],
      ['500', 500, /status 500: boom/],
      ['a page of a proxy', 200, /what answers is not the .* API[\s\S]*Seen: boom/],
    ])('%s', async (_, status, message) => {
      scene.api.fail({ method: 'PATCH', path: cloud.writePath, status, body: 'boom' })
      const result = await scene.flip(one)
      expectFailure(result, message, /www\.example\.test A is 127\.0\.0\.1 \(TTL 60\) now/)
      expectFailure(result, /www\.example\.test A holds the old value/)
      expect(writes()).toHaveLength(1)
    })
  })

  describe('a write that comes too soon for the limit', () => {
    const tooMany = {
      method: 'PATCH',
      path: cloud.writePath,
      status: 429,
      headers: { 'retry-after': '2' },
    } as const

    test('is sent again when the provider says', async () => {
      scene.api.fail(tooMany)
      const result = await scene.flip(one)
      expectSuccess(result)
      expect(result.log).toMatch(/too many requests: waiting 2\.0 s/)
      expect(scene.values('www')).toEqual([NEW])
    })

    test('is not sent again where somebody else has changed the record meanwhile', async () => {
      scene.api.fail(tooMany)
      const result = await scene.flip(one, {
        during: async (run) => {
          await run.waitForLog(/too many requests/)
          await scene.change('www', '127.0.0.9')
        },
      })
      expectFailure(result, /www\.example\.test A was changed by somebody else/)
      expect(scene.values('www')).toEqual(['127.0.0.9'])
      expect(writes()).toHaveLength(1)
    })
  })

  describe('errors say what to do', () => {
    test('a wrong token', async () => {
      const token = 'not_the_token_of_this_bed_at_all_0123456789'
      expectFailure(await scene.flip({ token }), cloud.permission, /status 40[13]/, /nothing was changed/)
      expect(writes()).toEqual([])
    })

    test('a token that may only read', async () => {
      cloud.readOnly(scene.api)
      expectFailure(await scene.flip(one), /could not change www\.example\.test A/, cloud.writePermission)
      expect(scene.values('www')).toEqual([OLD])
    })

    test('a zone that is not there', async () => {
      const inputs = { zone: 'other.test', records: `www A ${OLD} -> ${NEW}` }
      expectFailure(await scene.flip(inputs), /zone not found: other\.test/, /token/, /nothing was changed/)
    })

    test('a value that is refused', async () => {
      scene.api.fail({
        method: 'PATCH',
        path: cloud.writePath,
        status: 422,
        body: cloud.failed('too odd', 9),
      })
      expectFailure(await scene.flip(one), /status 422: too odd/, /takes the re.* for wrong/)
      expect(scene.values('www')).toEqual([OLD])
    })

    test('an answer that is cut short', async () => {
      scene.api.fail({ method: 'GET', path: cloud.recordsPath, status: 200, cutAt: 100, times: 3 })
      expectFailure(await scene.flip(), /gives no answer/, /nothing was changed/)
    })

    test('a page of records that ends early', async () => {
      const body =
        name === 'cloudflare'
          ? { success: true, result: [], result_info: { page: 1, per_page: 1000, count: 0, total_count: 7 } }
          : { domain_records: [], links: {}, meta: { total: 7 } }
      scene.api.fail({ method: 'GET', path: cloud.recordsPath, status: 200, body })
      expectFailure(await scene.flip(), /list of records is not whole/, /of which there should be 7/)
    })

    test.each([
      [
        'a page of a proxy',
        200,
        '<html>Log in to the hotel</html>',
        /is not the .* API[\s\S]*Log in to the hotel/,
      ],
      ['JSON of something else', 200, '{"hello":"world"}', /could not|is not the/],
      [
        'half an answer',
        200,
        '{"success":true,"domain":{"na',
        /is not the .* API, or its answer was cut short/,
      ],
      ['a page of a proxy that fails', 502, '<html>Bad gateway</html>', /status 502: <html>Bad gateway/],
      ['a redirect', 302, '', /leave `api-url` empty/],
    ])('%s', async (_, status, body, message) => {
      const headers = { location: 'http://127.0.0.1:1/' }
      scene.api.fail({ method: 'GET', path: cloud.zonePath, status, body, headers, times: 9 })
      expectFailure(await scene.flip(), message, /nothing was changed/)
    })

    test.each([
      ['too many requests', 429, cloud.limits],
      ['an error of theirs', 500, cloud.status],
    ])('%s, with a text that echoes the token', async (_, status, hint) => {
      const body = cloud.failed(`sorry, Bearer ${scene.api.token}`, 10)
      // Longer than a job is let wait.
      const headers = { 'retry-after': '86400' }
      scene.api.fail({ method: 'GET', path: cloud.zonePath, status, headers, body, times: 9 })
      const result = await scene.flip()
      expectFailure(result, /sorry, Bearer \*\*\*/, hint)
    })
  })
}
