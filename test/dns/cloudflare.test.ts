// What is sent to Cloudflare has the types of its own SDK: `tsc` holds it against them.
import type { RecordBatchParams, RecordEditParams } from 'cloudflare/resources/dns/records'
import { expect, test } from 'vitest'
import {
  type BatchBody,
  type CloudflareRecord,
  cloudflareBase,
  type PatchBody,
  writeRequest,
} from '../../src/dns/providers/cloudflare.ts'
import { digitalOceanBase } from '../../src/dns/providers/digitalocean.ts'
import type { RecordSet } from '../../src/dns/record.ts'

const asEdit = (body: PatchBody) => ({ zone_id: 'z', ...body }) satisfies RecordEditParams
const asBatch = (body: BatchBody) => ({ zone_id: 'z', ...body }) satisfies RecordBatchParams

const name = 'www.example.com'
const record = (
  id: string,
  value: string,
  more: Partial<CloudflareRecord['raw']> = {},
): CloudflareRecord => ({
  id,
  name,
  type: 'A',
  value,
  ttl: 60,
  raw: { id, name, type: 'A', content: value, ttl: 60, ...more },
})
const next = (values: string[], more: Partial<RecordSet> = {}): RecordSet => ({
  name,
  type: 'A',
  ttl: 60,
  values,
  ...more,
})

test('one value is one PATCH', () => {
  const request = writeRequest([record('1', '192.0.2.1')], next(['192.0.2.2']))
  if (request?.method !== 'PATCH') throw new Error('no PATCH')
  expect(asEdit(request.body)).toEqual({ zone_id: 'z', name, type: 'A', content: '192.0.2.2', ttl: 60 })
  expect(request.path).toBe('/1')
})

test('several are one batch, and what is added takes over what the first one has', () => {
  const records = [
    record('1', '192.0.2.1', { proxied: true, comment: 'c', tags: ['t:1'] }),
    record('2', '192.0.2.3'),
  ]
  const more = writeRequest(records, next(['192.0.2.2', '192.0.2.4', '192.0.2.5'], { proxied: true }))
  if (more?.method !== 'POST') throw new Error('no batch')
  const fields = { name, type: 'A', ttl: 1 }
  expect(asBatch(more.body)).toEqual({
    zone_id: 'z',
    patches: [
      { id: '1', ...fields, content: '192.0.2.2' },
      { id: '2', ...fields, content: '192.0.2.4' },
    ],
    posts: [{ ...fields, content: '192.0.2.5', proxied: true, comment: 'c', tags: ['t:1'] }],
  })
  const fewer = writeRequest(records, next(['192.0.2.3']))
  expect(fewer).toMatchObject({ path: '/batch', body: { deletes: [{ id: '1' }] } })
})

test.each([
  ['its own', {}, 60],
  ['"Auto", which stays', { ttl: 300, autoTtl: true as const }, 1],
  ['"Auto" brought down', { ttl: 60, autoTtl: true as const }, 60],
  ['as many seconds as "Auto"', { ttl: 300 }, 300],
  ['of what is proxied', { ttl: 60, proxied: true }, 1],
])('the TTL is %s', (_, more, ttl) => {
  expect(writeRequest([record('1', '192.0.2.1')], next(['192.0.2.2'], more))?.body).toMatchObject({ ttl })
})

test('what is there already is not written', () => {
  expect(writeRequest([record('1', '192.0.2.1')], next(['192.0.2.1']))).toBeUndefined()
})

test.each([
  ['', 'https://api.cloudflare.com/client/v4'],
  ['https://api.cloudflare.com', 'https://api.cloudflare.com/client/v4'],
  ['https://proxy.example.com/cf/', 'https://proxy.example.com/cf'],
])("Cloudflare's API at '%s' is %s", (apiUrl, base) => expect(cloudflareBase(apiUrl)).toBe(base))

test.each([
  ['', 'https://api.digitalocean.com/v2'],
  ['https://api.digitalocean.com/v2/', 'https://api.digitalocean.com/v2'],
  ['https://proxy.example.com/do', 'https://proxy.example.com/do/v2'],
])("DigitalOcean's API at '%s' is %s", (apiUrl, base) => expect(digitalOceanBase(apiUrl)).toBe(base))
