// What a flip asks of its provider's API: each call costs time, and clouds count them.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type ApiGate, startApiGate } from './dns-api-gate.ts'
import { type DnsScene, startDnsScene, ZONE } from './dns-scene.ts'

let scene: DnsScene
let api: ApiGate
beforeAll(async () => {
  scene = await startDnsScene()
})
beforeEach(async () => {
  await scene.reset()
  api = await startApiGate(scene.dns.apiUrl)
})
afterEach(() => api.stop())
afterAll(() => scene?.stop())

const calls = () => api.calls.map(({ method, path }) => method + path.replace(/.*\/zones/, ''))
const zone = `GET/${ZONE}.?rrsets=false`
const read = (name: string) => `GET/${ZONE}.?rrset_name=${name}.${ZONE}.`
const write = `PATCH/${ZONE}.`
const written = (name: string) => [read(name), write, read(name)]

test('a flip: one for the zone; for each name one to plan, then a comparison, the write and what came of it', async () => {
  expectSuccess(await scene.flip({ 'api-url': api.url }))
  expect(calls()).toEqual([zone, read('www'), read('api'), ...written('www'), ...written('api')])
})

test('going back takes no more than going ahead', async () => {
  expectFailure(
    await scene.flip({ 'api-url': api.url, canary: '2', verify: 'false' }),
    /back at the old value/,
  )
  const there = [zone, read('www'), read('api'), ...written('www'), ...written('api')]
  expect(calls()).toEqual([...there, ...written('api'), ...written('www')])
})

test('what is new already is read once', async () => {
  expectSuccess(await scene.flip())
  expectSuccess(await scene.flip({ 'api-url': api.url }))
  expect(calls()).toEqual([zone, read('www'), read('api')])
})
