import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { sceneForAll } from './cloud-cases.ts'
import { NEW, OLD, ZONE } from './cloud-scene.ts'

const scene = sceneForAll('digitalocean')
const writes = () => scene().api.requests.filter(({ method }) => method !== 'GET')
/** Where there is no such machine to be asked. */
const untried = { 'verify-url': '' }
/** What a name has been since the last reset. */
const states = (name = `www.${ZONE}.`) =>
  scene()
    .history.filter((moment) => moment.name === name)
    .map(({ values }) => values)
const failed = (status: number, message = 'boom') => ({
  method: 'PATCH' as const,
  path: /records/,
  status,
  body: { id: 'some_error', message },
})

test('names are relative, the apex is @, and what is kept besides stays', async () => {
  await scene().api.seed({ type: 'A', name: '@', data: OLD, ttl: 3_600 })
  await scene().api.seed({ type: 'MX', name: '@', data: `mail.${ZONE}`, priority: 10 })
  const records = `@ A ${OLD} -> ${NEW}\nwww.${ZONE} A ${OLD} -> ${NEW}`
  expectSuccess(await scene().flip({ ...untried, records }))
  expect(scene().values('@')).toEqual([NEW])
  expect(scene().api.records.find(({ type }) => type === 'MX')).toMatchObject({ priority: 10 })
  expect(writes()[0]?.body).toEqual({ type: 'A', data: NEW, ttl: 3_600 })
})

test('a CNAME is read without its final dot and written with it; @ is the apex', async () => {
  await scene().api.seed({ type: 'A', name: '@', data: OLD, ttl: 60 })
  await scene().api.seed({ type: 'CNAME', name: 'shop', data: '@', ttl: 60 })
  const records = `shop CNAME ${ZONE} -> new.${ZONE}`
  const result = await scene().flip({ ...untried, records })
  expectSuccess(result)
  expect(scene().values('shop', 'CNAME')).toEqual([`new.${ZONE}`])
  expect(writes()[0]?.body).toMatchObject({ data: `new.${ZONE}.` })
  expectSuccess(await scene().flip({ ...untried, records: '', restore: result.outputs['snapshot'] ?? '' }))
  expect(scene().values('shop', 'CNAME')).toEqual([ZONE])
})

describe('several values change one record after the other, never without the set', () => {
  test.each([
    ['as many', ['127.0.0.5'], [NEW, '127.0.0.6'], ['PATCH', 'PATCH']],
    ['more', [], [NEW, '127.0.0.6'], ['PATCH', 'POST']],
    ['fewer', ['127.0.0.5'], [NEW], ['PATCH', 'DELETE']],
  ])('%s', async (_, beside, wanted, methods) => {
    for (const data of beside) await scene().api.seed({ type: 'A', name: 'www', data, ttl: 60 })
    const records = `www A ${[OLD, ...beside].join()} -> ${wanted.join()}`
    const result = await scene().flip({ ...untried, records })
    expectSuccess(result)
    expect(scene().values('www').sort()).toEqual([...wanted].sort())
    expect(writes().map(({ method }) => method)).toEqual(methods)
    expect(Math.min(...states().map(({ length }) => length))).toBeGreaterThan(0)
    expectSuccess(await scene().flip({ ...untried, records: '', restore: result.outputs['snapshot'] ?? '' }))
    expect(scene().values('www').sort()).toEqual([OLD, ...beside].sort())
    expect(Math.min(...states().map(({ length }) => length))).toBeGreaterThan(0)
  })

  describe('where the second change', () => {
    const records = `www A ${OLD},127.0.0.5 -> ${NEW},127.0.0.6`
    const two = () => scene().api.seed({ type: 'A', name: 'www', data: '127.0.0.5', ttl: 60 })

    test('is refused, the first one is taken back', async () => {
      await two()
      scene().api.fail({ ...failed(422, 'no more of those'), skip: 1 })
      const result = await scene().flip({ ...untried, records, 'on-failure': 'stop' })
      expectFailure(
        result,
        /status 422: no more of those/,
        /had become 127\.0\.0\.2, 127\.0\.0\.5 .* and was taken back/,
      )
      expectFailure(result, /www\.example\.test A holds the old value/)
      expect(scene().values('www')).toEqual([OLD, '127.0.0.5'])
    })

    test('is refused, and so is the way back: the error says what holds now', async () => {
      await two()
      scene().api.fail({ ...failed(422, 'no more of those'), skip: 1, times: 2 })
      const result = await scene().flip({ ...untried, records, 'on-failure': 'stop' })
      expectFailure(
        result,
        /had become 127\.0\.0\.2, 127\.0\.0\.5 .*, and could not be taken back \(status 422: no more/,
        /www\.example\.test A is 127\.0\.0\.2, 127\.0\.0\.5 \(TTL 60\) now/,
      )
      expect(scene().values('www')).toEqual([NEW, '127.0.0.5'])
    })

    test('is refused, and so is the way back: a revert brings it back all the same', async () => {
      await two()
      scene().api.fail({ ...failed(422, 'no more of those'), skip: 1, times: 2 })
      expectFailure(
        await scene().flip({ ...untried, records }),
        /www\.example\.test A is back at the old value/,
      )
      expect(scene().values('www')).toEqual([OLD, '127.0.0.5'])
    })

    test('is carried out, its answer lost: all is well', async () => {
      await two()
      scene().api.fail({ ...failed(500), skip: 1, after: true })
      expectSuccess(await scene().flip({ ...untried, records }))
      expect(scene().values('www')).toEqual([NEW, '127.0.0.6'])
    })

    test('does not come, as the run was killed: the settle step brings it back', async () => {
      await two()
      scene().api.fail({ ...failed(-1), skip: 1 })
      const result = await scene().flip(
        { ...untried, records },
        {
          during: async (run) => {
            await expect.poll(() => writes().length, { timeout: 30_000 }).toBe(2)
            run.kill9()
          },
        },
      )
      expect(result.conclusion).toBe('failure')
      expect(result.log).toMatch(/www\.example\.test A is back at the old value/)
      expect(scene().values('www')).toEqual([OLD, '127.0.0.5'])
    })
  })
})

test('values with different TTLs are left alone', async () => {
  await scene().api.seed({ type: 'A', name: 'www', data: '127.0.0.5', ttl: 600 })
  const records = `www A ${OLD},127.0.0.5 -> ${NEW}`
  const result = await scene().flip({ ...untried, records })
  expectFailure(result, /has values with different TTLs: it is left alone/, /nothing was changed/)
  expect(writes()).toEqual([])
})

describe('a large zone', () => {
  const fill = async (count: number) => {
    const { api } = scene()
    for (let index = 0; index < count; index++) await api.seed({ type: 'TXT', name: `t${index}`, data: 'x' })
    // Those that are flipped come last.
    api.records = [...api.records.slice(2), ...api.records.slice(0, 2)]
  }
  const reads = () =>
    scene()
      .api.requests.filter(({ path }) => path.endsWith('/records'))
      .map(({ query }) => query)
  const page = { per_page: '200', page: '1' }

  test('all its pages are read where that takes fewer requests', async () => {
    await fill(450)
    expectSuccess(await scene().flip({ 'dry-run': 'true' }))
    expect(reads()).toEqual(['1', '2', '3'].map((number) => ({ ...page, page: number })))
  })

  test('each name is read by itself where that takes fewer', async () => {
    await fill(900)
    expectSuccess(await scene().flip({ 'dry-run': 'true' }))
    expect(reads()).toEqual([page, { ...page, name: `www.${ZONE}` }, { ...page, name: `api.${ZONE}` }])
  })

  test.each([
    ['to another host', (other: string) => `${other}/v2/domains/${ZONE}/records?page=2&per_page=200`],
    ['to another path', () => `${scene().api.url}/v2/domains/other.test/records?page=2`],
    ['in a circle', () => `${scene().api.url}/v2/domains/${ZONE}/records?page=1&per_page=200`],
    ['nowhere', () => 'next'],
  ])('a page that leads %s is an error, and the token goes nowhere', async (_, link) => {
    let asked = 0
    const other = createServer((__, response) => response.end(String(++asked)))
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    try {
      await fill(250)
      const next = link(`http://127.0.0.1:${(other.address() as AddressInfo).port}`)
      const body = {
        domain_records: scene().api.records.slice(0, 200),
        links: { pages: { next, last: next } },
        meta: { total: 252 },
      }
      scene().api.fail({ method: 'GET', path: /records$/, status: 200, body })
      const result = await scene().flip()
      expectFailure(result, /page 1 of the records does not lead on to page 2/, next, /nothing was changed/)
      expect(reads()).toHaveLength(1)
      expect(asked).toBe(0)
    } finally {
      other.close()
    }
  })

  test('a page that is the last one too early', async () => {
    await fill(250)
    const body = { domain_records: scene().api.records.slice(0, 200), links: {}, meta: { total: 252 } }
    scene().api.fail({ method: 'GET', path: /records$/, status: 200, body })
    expectFailure(
      await scene().flip(),
      /is not whole/,
      /200 records on 1 pages, of which there should be 252/,
    )
  })
})
