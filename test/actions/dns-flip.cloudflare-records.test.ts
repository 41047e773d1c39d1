import { createServer, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EDGE } from '../bed/cloudflare-api.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { sceneForAll } from './cloud-cases.ts'
import { NEW, OLD, ZONE } from './cloud-scene.ts'
import { gate } from './command-gate.ts'

const scene = sceneForAll('cloudflare')
const www = `www.${ZONE}`
const writes = () => scene().api.requests.filter(({ method }) => method !== 'GET')
/** Where there is no such machine to be asked. */
const untried = { 'verify-url': '' }

test('a write that nobody answers is read back when its time is over', async () => {
  scene().api.fail({ method: 'PATCH', path: /dns_records/, status: -1, after: true })
  expectSuccess(await scene().flip({ records: `www A ${OLD} -> ${NEW}` }))
  expect(writes()).toHaveLength(1)
})

test('what else is kept with a record stays: comment, tags, settings', async () => {
  const [before] = scene().api.of(www)
  expectSuccess(await scene().flip())
  const { content: _, modified_on: __, ...kept } = before ?? {}
  expect(scene().api.of(www)).toMatchObject([
    { ...kept, content: NEW, comment: 'the www machine', tags: ['owner:ops'] },
  ])
  expect(writes()[0]?.body).toEqual({ name: www, type: 'A', content: NEW, ttl: 60 })
})

describe('a proxied name', () => {
  /** An origin that the edge does not reach. */
  let cutOff = ''
  /** Passes requests on to where the record leads, as the edge does. */
  const edge = createServer((asked, response) => {
    const [host = ''] = (asked.headers.host ?? '').split(':')
    const [origin = ''] = scene().api.values(host)
    const fail = () => response.writeHead(502).end()
    if (origin === cutOff) return void fail()
    const options = { host: origin, port: scene().dns.port, path: asked.url, headers: asked.headers }
    const passed = request(options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    asked.pipe(passed.on('error', fail))
  })
  beforeAll(() => new Promise<void>((resolve) => edge.listen(scene().dns.port, EDGE, resolve)))
  afterAll(() => void edge.close())

  const proxy = async (name: string) => {
    for (const record of scene().api.of(`${name}.${ZONE}`)) Object.assign(record, { proxied: true, ttl: 1 })
    await scene().api.changed()
  }
  const inputs = () => ({ resolvers: scene().inputs['nameservers'] ?? '' })

  test('stays proxied, and is proven by its record and through the edge', async () => {
    await proxy('www')
    const body = { 'expect-body': 'the new machine' }
    const result = await scene().flip({ ...inputs(), ...body })
    expectSuccess(result)
    expect(result.log).toMatch(/www\.example\.test +A +127\.0\.0\.1 +127\.0\.0\.2 .*yes +to be written/)
    expect(scene().api.of(www)).toMatchObject([
      { content: NEW, proxied: true, ttl: 1, comment: 'the www machine' },
    ])
    expect(scene().values('api')).toEqual([NEW])
    expect(await scene().dns.dns.query(www)).toEqual([{ address: EDGE, ttl: 300 }])
  })

  test('goes back when the edge does not get through to the new machine', { timeout: 120_000 }, async () => {
    await proxy('www')
    cutOff = NEW
    const records = `www A ${OLD} -> ${NEW}`
    const result = await scene().flip({ ...inputs(), records }, { deadline: 100_000 })
    cutOff = ''
    expectFailure(result, /does not serve the names that lead to it/, /at its provider's proxy: .*status 502/)
    expectFailure(result, /www\.example\.test A is back at the old value/)
    expect(scene().api.of(www)).toMatchObject([{ content: OLD, proxied: true, ttl: 1 }])
  })

  test('whose proxy somebody switches off meanwhile is left alone', async () => {
    await proxy('api')
    const wait = gate()
    const result = await scene().flip(
      { ...inputs(), verify: wait.command },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          for (const record of scene().api.of(`api.${ZONE}`))
            Object.assign(record, { proxied: false, ttl: 60 })
          await scene().api.changed()
          wait.open()
        },
      },
    )
    wait.remove()
    expectFailure(
      result,
      /api\.example\.test A was changed by somebody else/,
      /127\.0\.0\.1 \(TTL 60\), not 127\.0\.0\.1 \(proxied\)/,
    )
    expect(scene().api.of(`api.${ZONE}`)).toMatchObject([{ content: OLD, proxied: false }])
  })

  test('with an address beside it that is not proxied is refused', async () => {
    await proxy('www')
    await scene().api.seed({ type: 'AAAA', name: www, content: '::1', ttl: 60 })
    const records = `www A ${OLD} -> ${NEW}\nwww AAAA ::1 -> ::1`
    expectFailure(
      await scene().flip({ ...untried, records }),
      /some are proxied and some are not: it is left alone/,
    )
    expect(writes()).toEqual([])
  })
})

describe('TTL "Auto"', () => {
  const auto = async () => {
    for (const record of scene().api.of(www)) Object.assign(record, { ttl: 1 })
    await scene().api.changed()
  }
  const records = `www A ${OLD} -> ${NEW}`

  test('stays, and is what name servers say: 300 s', async () => {
    await auto()
    const result = await scene().flip({ records })
    expectSuccess(result)
    expect(result.log).toMatch(/127\.0\.0\.2 +300 \(auto\) +no +to be written/)
    expect(scene().api.of(www)).toMatchObject([{ content: NEW, ttl: 1 }])
  })

  test('comes back by a revert', async () => {
    await auto()
    expectFailure(await scene().flip({ records, verify: 'false' }), /is back at the old value/)
    expect(scene().api.of(www)).toMatchObject([{ content: OLD, ttl: 1 }])
  })

  test('is brought down ahead of a flip, and is 300 s after it', async () => {
    await auto()
    const prepared = await scene().flip({ records, phase: 'prepare', ttl: '60s' })
    expectSuccess(prepared)
    expect(scene().api.of(www)).toMatchObject([{ content: OLD, ttl: 60 }])
    const snapshot = JSON.parse(prepared.outputs['snapshot'] ?? '')
    snapshot.prepared.safeFrom = new Date(0).toISOString()
    expectSuccess(await scene().flip({ records, ttl: '60s', prepared: JSON.stringify(snapshot) }))
    expect(scene().api.of(www)).toMatchObject([{ content: NEW, ttl: 300 }])
  })
})

describe('several values change in one transaction', () => {
  const more = async (...contents: string[]) => {
    for (const content of contents)
      await scene().api.seed({ type: 'A', name: www, content, ttl: 60, comment: 'more' })
  }
  const states = () =>
    scene()
      .history.filter(({ name }) => name === `${www}.`)
      .map(({ values }) => values)

  test.each([
    ['as many', ['127.0.0.5'], `${OLD},127.0.0.5 -> ${NEW},127.0.0.6`, [NEW, '127.0.0.6'], { patches: 2 }],
    ['one that stays', ['127.0.0.5'], `${OLD},127.0.0.5 -> 127.0.0.5,${NEW}`, [NEW, '127.0.0.5'], undefined],
    ['more', [], `${OLD} -> ${NEW},127.0.0.6`, [NEW, '127.0.0.6'], { patches: 1, posts: 1 }],
    ['fewer', ['127.0.0.5'], `${OLD},127.0.0.5 -> ${NEW}`, [NEW], { deletes: 1, patches: 1 }],
  ])('%s', async (_, beside, change, wanted, batch) => {
    await more(...beside)
    scene().history.length = 0
    const result = await scene().flip({ ...untried, records: `www A ${change}` })
    expectSuccess(result)
    expect(scene().values('www').sort()).toEqual([...wanted].sort())
    expect(states()).toHaveLength(1)
    expect(writes()).toHaveLength(1)
    const body = (writes()[0]?.body ?? {}) as Record<string, unknown[]>
    if (batch) {
      expect(Object.fromEntries(Object.entries(body).map(([key, list]) => [key, list.length]))).toEqual(batch)
    } else expect(body).toMatchObject({ content: NEW })
    const [snapshot] = [result.outputs['snapshot'] ?? '']
    expectSuccess(await scene().flip({ ...untried, records: '', restore: snapshot }))
    expect(scene().values('www').sort()).toEqual([OLD, ...beside].sort())
  })

  test('what is added takes over what the others have', async () => {
    expectSuccess(await scene().flip({ ...untried, records: `www A ${OLD} -> ${NEW},127.0.0.6` }))
    const kept = { comment: 'the www machine', tags: ['owner:ops'], proxied: false, ttl: 60 }
    expect(scene().api.of(www)).toMatchObject([kept, kept])
  })

  test('a batch that is refused leaves all of it', async () => {
    await more('127.0.0.5')
    const errors = [{ code: 81058, message: 'An identical record already exists.' }]
    const body = { success: false, errors, messages: [], result: null }
    scene().api.fail({ method: 'POST', path: /batch$/, status: 400, body })
    const records = `www A ${OLD},127.0.0.5 -> ${NEW},127.0.0.6`
    const result = await scene().flip({ ...untried, records })
    expectFailure(result, /status 400: An identical record already exists\. \(code 81058\)/)
    expect(states()).toEqual([[OLD, '127.0.0.5']])
  })
})

describe('a large zone', () => {
  const fill = async (count: number) => {
    const { api } = scene()
    const names = Array.from({ length: count }, (_, index) => ({
      name: `t${index}.${ZONE}`,
      content: `"${index}"`,
    }))
    for (const one of names) await api.seed({ type: 'TXT', ...one })
    // Those that are flipped come last.
    api.records = [...api.records.slice(2), ...api.records.slice(0, 2)]
  }
  const reads = () =>
    scene()
      .api.requests.filter(({ path }) => path.endsWith('/dns_records'))
      .map(({ query }) => query)

  test('all its pages are read where that takes fewer requests', async () => {
    await fill(2_300)
    expectSuccess(await scene().flip({ 'dry-run': 'true' }))
    expect(reads()).toEqual(['1', '2', '3'].map((page) => ({ per_page: '1000', page })))
  })

  test('each name is read by itself where that takes fewer', async () => {
    await fill(4_500)
    expectSuccess(await scene().flip({ 'dry-run': 'true' }))
    expect(reads()).toEqual([
      { per_page: '1000', page: '1' },
      { per_page: '1000', page: '1', 'name.exact': www },
      { per_page: '1000', page: '1', 'name.exact': `api.${ZONE}` },
    ])
  })

  test('a page that comes twice is not taken for the next one', async () => {
    await fill(1_500)
    const first = await fetch(
      `${scene().api.apiUrl}/zones/${scene().api.zone.id}/dns_records?per_page=1000`,
      {
        headers: { authorization: `Bearer ${scene().api.token}` },
      },
    )
    scene().api.fail({ method: 'GET', path: /dns_records$/, status: 200, body: await first.json(), skip: 1 })
    expectFailure(
      await scene().flip(),
      /list of records is not whole/,
      /1000 records on 2 pages, of which there should be 1502/,
    )
  })
})

describe('is refused before anything is written', () => {
  test.each([
    [
      'a record of another product',
      { meta: { read_only: true } },
      /is read-only: another Cloudflare product/,
    ],
    ['a CNAME that is flattened', { settings: { flatten_cname: true } }, /Cloudflare flattens/],
  ])('%s', async (_, more, message) => {
    const seed = { type: 'CNAME', name: `shop.${ZONE}`, content: `old.${ZONE}`, ttl: 60 }
    await scene().api.seed({ ...seed, ...more })
    const records = `shop CNAME old.${ZONE} -> new.${ZONE}`
    expectFailure(await scene().flip({ ...untried, records }), message, /nothing was changed/)
    expect(writes()).toEqual([])
  })

  test('a CNAME at the apex', async () => {
    await scene().api.seed({ type: 'CNAME', name: ZONE, content: `old.${ZONE}`, ttl: 60, proxied: true })
    Object.assign(scene().api.of(ZONE, 'CNAME')[0] ?? {}, { proxied: false })
    const records = `@ CNAME old.${ZONE} -> new.${ZONE}`
    expectFailure(await scene().flip({ ...untried, records }), /Cloudflare flattens/)
  })

  test.each([
    ['a secondary', { type: 'secondary' as const }, /is a secondary here/],
    ['a partial', { type: 'partial' as const }, /partial \(CNAME\) setup/],
    ['a paused', { paused: true }, /is paused on Cloudflare/],
  ])('%s zone', async (_, more, message) => {
    Object.assign(scene().api.zone, more)
    expectFailure(await scene().flip(), message, /nothing was changed/)
  })

  test('a zone that is delegated elsewhere', async () => {
    const resolvers = scene().inputs['nameservers'] ?? ''
    const result = await scene().flip({ nameservers: '', resolvers })
    expectFailure(result, /is not delegated to this provider/, /amy\.ns\.cloudflare\.com/)
  })
})

describe('a token that Cloudflare refuses is asked about', () => {
  test.each([
    ['expired', 'expired' as const, /the token is expired/],
    ['disabled', 'disabled' as const, /the token is disabled/],
  ])('%s', async (_, state, message) => {
    scene().api.tokenState = state
    expectFailure(
      await scene().flip(),
      /Invalid access token \(code 9109\)/,
      message,
      /Zone:Read and DNS:Edit/,
    )
  })

  test('one without a permission', async () => {
    const errors = [{ code: 10000, message: 'Authentication error' }]
    scene().api.fail({
      method: 'GET',
      path: /zones$/,
      status: 403,
      body: { success: false, errors, result: null },
    })
    expectFailure(
      await scene().flip(),
      /the token itself is active: it lacks a permission/,
      /Zone:Read and DNS:Edit/,
    )
  })

  test("an account's own, of which it says nothing", async () => {
    scene().api.tokenState = 'foreign'
    const errors = [{ code: 10000, message: 'Authentication error' }]
    scene().api.fail({
      method: 'GET',
      path: /zones$/,
      status: 403,
      body: { success: false, errors, result: null },
    })
    expectFailure(await scene().flip(), /Cloudflare says: Invalid API Token \(a token that an account owns/)
  })

  test('one that is none', async () => {
    const result = await scene().flip({ token: '0123456789abcdef0123456789abcdef01234' })
    expectFailure(
      result,
      /Invalid request headers \(code 6003\); Invalid format for Authorization header/,
      /Global API Key/,
    )
  })

  test('one that reaches no zone', async () => {
    scene().api.permission = 'none'
    expectFailure(
      await scene().flip(),
      /zone not found: example\.test/,
      /the token is good, and reaches no zone/,
    )
  })

  test('one that is good, and success: false', async () => {
    const body = { success: false, errors: [{ code: 7, message: 'odd' }], messages: [], result: null }
    scene().api.fail({ method: 'GET', path: /zones$/, status: 200, body })
    expectFailure(await scene().flip(), /could not look up the zone/, /status 200: odd \(code 7\)/)
  })
})
