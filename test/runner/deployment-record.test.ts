import { describe, expect, test } from 'vitest'
import { pauseBefore } from '../../src/runner/deployments/github-api.ts'
import { parseDeployment, payloadOf, snapshotProblem } from '../../src/runner/deployments/record.ts'

const sha = 'a'.repeat(40)
const place = { environment: 'production', kind: 'static' as const }
const snapshot = '{"records":[{"name":"www.example.com","type":"AAAA","values":["2001:db8::1"]}]}'
const good = { id: 5, sha, environment: 'production', payload: payloadOf('static', 'r1', snapshot) }
const record = { id: 5, sha, kind: 'static', release: 'r1', snapshot }

describe('a record read back', () => {
  test('is what was written', () => {
    expect(parseDeployment(good, place)).toEqual({ record })
    expect(parseDeployment({ ...good, payload: JSON.stringify(good.payload) }, place)).toEqual({ record })
    expect(parseDeployment({ ...good, environment: 'Production' }, place)).toEqual({ record })
    const { snapshot: _, ...bare } = good.payload
    expect(parseDeployment({ ...good, payload: bare }, place)).toEqual({
      record: { ...record, snapshot: '' },
    })
  })

  test.each([
    {},
    '',
    'deploy',
    '{}',
    '[]',
    null,
    7,
    { deploy: 'migrate' },
    'x'.repeat(1_000_000),
  ])('is none of ours and passed over in silence: payload %j', (payload) => {
    expect(parseDeployment({ ...good, payload }, place)).toEqual({ record: undefined, problem: undefined })
  })

  const evil = 'x\n::set-output name=release::pwned ${{ secrets.KEY }}'
  test.each([
    ['no valid id', { id: '5' }],
    ['no valid id', { id: 5.5 }],
    ['no valid id', { id: -5 }],
    ['no valid id', { id: 2n ** 60n }],
    ['of another environment', { environment: evil }],
    ['its sha is not a full commit id', { sha: 'main' }],
    ['its sha is not a full commit id', { sha: `${sha}\n` }],
    ['its sha is not a full commit id', { sha: `$(id)${sha}` }],
    ['written by another version of Evenkeel', { payload: { ...good.payload, evenkeel: 2 } }],
    ['of another kind', { payload: { ...good.payload, kind: evil } }],
    ['its release is not a release id', { payload: { ...good.payload, release: evil } }],
    ['its release is not a release id', { payload: { ...good.payload, release: '../../etc' } }],
    ['its release is not a release id', { payload: { ...good.payload, release: 'r'.repeat(101) } }],
    ['its release is not a release id', { payload: { ...good.payload, release: ['r1'] } }],
    ['its snapshot is not text', { payload: { ...good.payload, snapshot: { a: 1 } } }],
    ['its snapshot is not JSON', { payload: { ...good.payload, snapshot: evil.replace('\n', '') } }],
    ['its snapshot has several lines', { payload: { ...good.payload, snapshot: '{\n}' } }],
    [
      'its snapshot is larger than 32 KiB',
      { payload: { ...good.payload, snapshot: `["${'x'.repeat(33_000)}"]` } },
    ],
  ])('is refused: %s', (problem, changed) => {
    expect(parseDeployment({ ...good, ...changed }, place)).toEqual({ record: undefined, problem })
  })

  test.each([null, undefined, 'x', 7, []])('is refused where it is no deployment at all: %j', (raw) => {
    expect(parseDeployment(raw, place)).toEqual({ record: undefined, problem: 'no valid id' })
  })
})

describe('a snapshot', () => {
  test.each(['{}', '[]', snapshot, '[1,true,null,"\u00e4"]'])('%s is good', (text) => {
    expect(snapshotProblem(text)).toBeUndefined()
  })

  test.each([
    ['7', 'object or list'],
    ['null', 'object or list'],
    ['"text"', 'object or list'],
    ['{', 'not JSON'],
    ['["a\\nb"]', 'control characters'],
    ['{"a\\u001bb":1}', 'control characters'],
    ['[{"a":["\\u202e"]}]', 'control characters'],
    ['["${{ github.token }}"]', 'instruction'],
    ['["##[add-mask]"]', 'instruction'],
    [`${'['.repeat(100)}${']'.repeat(100)}`, 'nested too deep'],
    [`${'['.repeat(15_000)}${']'.repeat(15_000)}`, 'nested too deep'],
  ])('%s is not: %s', (text, problem) => {
    expect(snapshotProblem(text)).toContain(problem)
  })
})

describe('the pause before a request is repeated', () => {
  const now = 1_000_000_000_000
  const pause = (
    status: number,
    headers: Record<string, string> = {},
    { repeatable = false, attempt = 1, text = '' } = {},
  ) => pauseBefore({ status, headers, text }, attempt, repeatable, now)

  test('follows what GitHub says of a rate limit, for every request', () => {
    expect(pause(429, { 'retry-after': '7' })).toBe(7_000)
    expect(pause(403, { 'retry-after': '7' })).toBe(7_000)
    expect(pause(403, { 'retry-after': '0' })).toBe(0)
    expect(pause(403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(now / 1_000 + 20) })).toBe(
      21_000,
    )
    expect(pause(429, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1' })).toBe(1_000)
  })

  test('is a minute and more where GitHub says nothing', () => {
    const text = 'HTTP 403: You have exceeded a secondary rate limit'
    expect(pause(403, {}, { text })).toBe(60_000)
    expect(pause(403, {}, { text, attempt: 2 })).toBe(120_000)
    expect(pause(429, { 'retry-after': 'soon' })).toBe(60_000)
  })

  test('is short after an error of the server, and only where repeating does no harm', () => {
    expect(pause(502, {}, { repeatable: true })).toBe(500)
    expect(pause(0, {}, { repeatable: true, attempt: 3 })).toBe(2_000)
    expect(pause(502)).toBeUndefined()
    expect(pause(0)).toBeUndefined()
  })

  test.each([400, 401, 403, 404, 409, 422])('does not exist for %i', (status) => {
    const text = 'HTTP: Resource not accessible by integration'
    expect(pause(status, {}, { repeatable: true, text })).toBeUndefined()
  })
})
