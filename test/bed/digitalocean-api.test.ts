import { expect, test } from 'vitest'
import { DigitalOceanApi } from './digitalocean-api.ts'
import { digitalOceanDescription, digitalOceanFile } from './openapi/digitalocean-schema.ts'

const records = '/v2/domains/{domain_name}/records'
const record = `${records}/{domain_record_id}`
const none = new URLSearchParams()

if (digitalOceanDescription === undefined) {
  // Said, not skipped: this clone has no description to hold the server against.
  console.log(`not checked against DigitalOcean's OpenAPI description: there is no ${digitalOceanFile}`)
} else {
  const description = digitalOceanDescription
  test.each([
    [records, 'get', new URLSearchParams('per_page=200&page=2&name=www.example.com&type=A'), undefined, []],
    [
      records,
      'get',
      new URLSearchParams('per_page=201'),
      undefined,
      ['query parameter per_page: value must be <= 200'],
    ],
    [
      records,
      'get',
      new URLSearchParams('host=www'),
      undefined,
      ['query parameter host is not in the description'],
    ],
    [records, 'post', none, { type: 'A', name: 'www', data: '192.0.2.1', ttl: 60 }, []],
    [record, 'patch', none, { type: 'A', data: '192.0.2.1', ttl: 60 }, []],
    [record, 'patch', none, { data: '192.0.2.1' }, ["body: value must have required property 'type'"]],
    [record, 'patch', none, { type: 'A', ttl: '60' }, ['body: /ttl must be integer']],
    [record, 'patch', none, { type: 'A', value: 'x' }, ['body: value is not in the description']],
    [record, 'delete', none, undefined, []],
  ] as const)("DigitalOcean's description of %s %s %s %j finds %j", (template, method, query, body, errors) => {
    expect(description.requestErrors(template, method, query, body)).toEqual(errors)
  })

  test('answers are held against it too', () => {
    const good = { domain_records: [{ id: 1, type: 'A' }], links: {}, meta: { total: 1 } }
    expect(description.responseErrors(records, 'get', 200, good)).toEqual([])
    expect(description.responseErrors(records, 'get', 200, { ...good, meta: {} })).not.toEqual([])
    expect(description.responseErrors(records, 'get', 404, { message: 'x' })).not.toEqual([])
    expect(description.responseErrors(record, 'delete', 204, undefined)).toEqual([])
  })
}

test('a request that breaks the rules is noted, with or without the description', async () => {
  const api = await new DigitalOceanApi('example.com').start()
  try {
    const { id } = await api.seed({ type: 'A', name: 'www', data: '192.0.2.1' })
    const answer = await fetch(`${api.url}/v2/domains/example.com/records/${id}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${api.token}`, 'content-type': 'text/plain' },
      body: '{"type":"A","value":"192.0.2.2"}',
    })
    expect(answer.status).toBe(200)
    expect(api.violations).toContain(`PATCH ${record}: value is unknown`)
    expect(api.violations).toContain(`PATCH ${record}: not sent as JSON`)
    expect(api.values('www')).toEqual(['192.0.2.1'])
  } finally {
    await api.stop()
  }
})
