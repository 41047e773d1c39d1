// What can happen between the runner and the servers: lost and forged answers, secondaries, one that lags.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { proveAtNameServers } from '../../src/dns/name-servers.ts'
import { type Knot, startKnot } from '../bed/knot.ts'
import { startNamed } from '../bed/named.ts'
import { freePort } from '../bed/ports.ts'
import { until } from '../bed/process.ts'
import { makeTsigKey, type ZoneServer } from '../bed/zone.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { recordingContext } from '../ssh/recording-context.ts'
import { startBetween } from './dns-between.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'
import { SETS, sceneOf, type UpdateScene } from './rfc2136-scene.ts'

let primary: ZoneServer
let knot: Knot
let named: ZoneServer
let scene: UpdateScene
beforeAll(async () => {
  const key = makeTsigKey()
  const admin = makeTsigKey('admin')
  const updates = [{ key }, { key: admin }]
  const secondary = { address: '127.0.0.5', port: await freePort('127.0.0.5') }
  primary = await startNamed({
    zones: { [ZONE]: SETS },
    updates,
    notify: [secondary],
    nameServers: ['127.0.0.11'],
  })
  const secondaryOf = { [ZONE]: primary }
  knot = await startKnot({ ...secondary, secondaryOf, updates })
  named = await startNamed({ secondaryOf, updates })
  scene = sceneOf(primary, key, admin)
})
beforeEach(() => scene.reset())
afterAll(async () => {
  await Promise.all([knot?.stop(), named?.stop()])
  await scene?.stop()
})

const both = async () => [await scene.values('www'), await scene.values('api')]

describe('the answer to a write', () => {
  test('lost on its way back: reading tells that it was carried out', async () => {
    const between = await startBetween(primary, async (update, forward) => {
      await forward(update)
      return undefined
    })
    try {
      expectSuccess(await scene.flip({ 'api-url': between.url }))
      expect(await both()).toEqual([[NEW], [NEW]])
    } finally {
      await between.stop()
    }
  })

  test('that never comes, of a write that never arrives: the run stops and says how things stand', async () => {
    const between = await startBetween(primary, async () => undefined)
    try {
      const result = await scene.flip({ 'api-url': between.url })
      expectFailure(result, /the name server gives no answer/, /www\.example\.test A holds the old value/)
      expect(await both()).toEqual([[OLD], [OLD]])
    } finally {
      await between.stop()
    }
  })

  test.each([
    ['changed on its way', asUnmet, /signature that is not made/],
    ['without its signature', unsigned, /NOERROR without a signature/],
  ])('%s is not believed', async (_, change, message) => {
    const between = await startBetween(primary, async (update, forward) => change(await forward(update)))
    try {
      const result = await scene.flip({ 'api-url': between.url })
      expectFailure(result, /is not to be trusted/, message, /www\.example\.test A is back at the old value/)
      expect(await both()).toEqual([[OLD], [OLD]])
    } finally {
      await between.stop()
    }
  })
})

describe('the server to be asked', () => {
  test('is the primary that the SOA names, where none is given', async () => {
    const result = await scene.flip({ 'api-url': '', resolvers: primary.endpoint })
    expect(result.log).toContain('ns1.example.test is the primary of example.test by its SOA')
    expectFailure(result, /127\.0\.0\.11: the name server gives no answer/, /check `api-url`/)
  })

  test('may be a host name', async () => {
    const inputs = { 'api-url': `dns://ns1.${ZONE}:1053`, resolvers: primary.endpoint }
    expectFailure(await scene.flip(inputs), /127\.0\.0\.11:1053: the name server gives no answer/)
    expectFailure(
      await scene.flip({ ...inputs, 'api-url': `dns://ns7.${ZONE}` }),
      /the name server ns7\.example\.test has no address/,
    )
  })

  test('may be a secondary that passes updates on', async () => {
    const inputs = {
      'api-url': `dns://${knot.endpoint}`,
      nameservers: `${primary.endpoint}\n${knot.endpoint}`,
    }
    await until(
      'the secondary is up to date',
      async () => (await knot.serial(ZONE)) === (await scene.serial()),
    )
    expectSuccess(await scene.flip(inputs))
    expect(await both()).toEqual([[NEW], [NEW]])
  })

  test('a secondary that does not says so before anything is written', async () => {
    const result = await scene.flip({ 'api-url': `dns://${named.endpoint}` })
    expectFailure(result, /REFUSED/, /must be its primary \(`api-url`\)/, /nothing was changed/)
  })
})

test('a zone that is frozen is refused before anything is written', async () => {
  const { key } = scene
  const frozen = await startKnot({ zones: { [ZONE]: SETS }, updates: [{ key }] })
  try {
    await frozen.freeze(ZONE)
    const inputs = { 'api-url': `dns://${frozen.endpoint}`, nameservers: frozen.endpoint }
    expectFailure(await scene.flip(inputs), /REFUSED/, /knotc zone-thaw/, /nothing was changed/)
  } finally {
    await frozen.stop()
  }
})

describe('a secondary that lags', () => {
  const lagging = () => ({ nameservers: `${primary.endpoint}\n${knot.endpoint}` })
  const upToDate = () =>
    until('the secondary is up to date', async () => (await knot.serial(ZONE)) === (await scene.serial()))

  test('holds the proof back until it agrees', async () => {
    await upToDate()
    await knot.freeze(ZONE)
    const waits = new RegExp(
      `waiting for the name servers: .*${knot.endpoint} has www\\.example\\.test A 127\\.0\\.0\\.1`,
    )
    const result = await scene.flip(lagging(), {
      during: async (run) => {
        await run.waitForLog(waits)
        expect(await scene.values('www')).toEqual([NEW])
        expect(run.log).not.toContain('every name server answers')
        expect(await scene.values('api')).toEqual([OLD])
        await knot.thaw(ZONE)
      },
    })
    expectSuccess(result)
    expect(await knot.values(ZONE, 'www', 'A')).toEqual([NEW])
    expect(await knot.values(ZONE, 'api', 'A')).toEqual([NEW])
  })

  test('cancelled meanwhile: the name is back, and the log tells which server it was', async () => {
    await upToDate()
    await knot.freeze(ZONE)
    try {
      const result = await scene.flip(lagging(), {
        during: (run) => run.waitForLog(/waiting for the name servers/).then(() => run.cancel()),
      })
      expect(result.conclusion).toBe('cancelled')
      expect(result.log).toMatch(new RegExp(`waiting for the name servers: .*${knot.endpoint}`))
      expect(result.log).toMatch(/www\.example\.test A is back at the old value/)
      expect(await both()).toEqual([[OLD], [OLD]])
    } finally {
      await knot.thaw(ZONE)
    }
  })

  test('for too long: the error names it', async () => {
    await upToDate()
    await knot.freeze(ZONE)
    try {
      await scene.replace({ name: 'www', type: 'A', ttl: 5, values: [NEW] })
      const servers = [primary, knot].map(({ address, port }, index) => ({
        name: `ns${index + 1}.${ZONE}`,
        addresses: [{ ip: address, port }],
      }))
      const wanted = [{ name: `www.${ZONE}`, type: 'A', ttl: 5, values: [NEW] }]
      const policy = { rounds: 3, intervalMs: 100, timeoutMs: 500 }
      const proof = proveAtNameServers(servers, wanted, policy, recordingContext())
      await expect(proof).rejects.toMatchObject({
        message: 'the name servers did not agree within 0.5 s',
        details: { seen: expect.stringMatching(`^ns2\\.example\\.test: ${knot.endpoint} has www`) },
      })
    } finally {
      await knot.thaw(ZONE)
    }
  })
})

/** Without its last record, which is the signature. */
function unsigned(answer: Buffer): Buffer {
  const bytes = Buffer.from(answer.subarray(0, answer.lastIndexOf(Buffer.from('\x08evenkeel', 'latin1'))))
  bytes.writeUInt16BE(bytes.readUInt16BE(10) - 1, 10)
  return bytes
}

/** As if a prerequisite had not held (NXRRSET). */
function asUnmet(answer: Buffer): Buffer {
  const bytes = Buffer.from(answer)
  bytes.writeUInt8(bytes.readUInt8(3) | 8, 3)
  return bytes
}
