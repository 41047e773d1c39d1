import * as packet from 'dns-packet'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exchangeOverTcp } from '../../src/dns/query.ts'
import { exchangeSigned } from '../../src/dns/signed-exchange.ts'
import { checkAnswer, signMessage, TSIG_ALGORITHMS, type TsigKey } from '../../src/dns/tsig.ts'
import { encodeUpdate, lastRecord, setExists } from '../../src/dns/wire.ts'
import { startKnot } from '../bed/knot.ts'
import { startNamed } from '../bed/named.ts'
import { startPowerDns } from '../bed/powerdns.ts'
import { makeTsigKey } from '../bed/zone.ts'
import { recordingContext } from '../ssh/recording-context.ts'

const ZONE = 'example.test'
const keys = TSIG_ALGORITHMS.map((algorithm) => makeTsigKey(`key-${algorithm}`, algorithm))
const ours = (index: number): TsigKey => ({
  name: keys[index]!.name,
  algorithm: TSIG_ALGORITHMS[index]!,
  secret: Buffer.from(keys[index]!.secret, 'base64'),
})
const soa = (id: number) =>
  packet.encode({ type: 'query', id, flags: 0, questions: [{ name: ZONE, type: 'SOA' }] })
const update = (id: number) => encodeUpdate(id, ZONE, [setExists(ZONE, 'SOA')], [])

const options = { zones: { [ZONE]: [] }, updates: keys.map((key) => ({ key })) }
const starts = { BIND: startNamed, Knot: startKnot, PowerDNS: startPowerDns }
const servers = new Map<string, { address: string; port: number; stop(): Promise<void> }>()
beforeAll(async () => {
  for (const [name, start] of Object.entries(starts)) servers.set(name, await start(options))
})
afterAll(async () => {
  for (const server of servers.values()) await server.stop()
})
const endpoint = (name: string) => {
  const { address, port } = servers.get(name)!
  return { ip: address, port }
}

describe.each(Object.keys(starts))('%s', (name) => {
  test.each(
    TSIG_ALGORITHMS.map((algorithm, index) => [algorithm, index] as const),
  )('takes our signatures by %s, for questions and updates, and we take its own', async (_, index) => {
    const answers = await exchangeSigned(endpoint(name), ours(index), [soa, update, soa], recordingContext())
    expect(answers.map(({ rcode }) => rcode)).toEqual(['NOERROR', 'NOERROR', 'NOERROR'])
    expect(answers.every(({ serverTime }) => serverTime !== undefined)).toBe(true)
  })

  test('an answer in which a single bit was changed is not valid', async () => {
    const key = ours(0)
    const time = Math.floor(Date.now() / 1_000)
    const { bytes, mac } = signMessage(soa(7), key, time)
    const [answer] = await exchangeOverTcp(endpoint(name), [bytes], 5_000, new AbortController().signal)
    expect(checkAnswer(answer!, key, mac, time)).toMatchObject({ verdict: 'valid', error: 0 })
    // The id is that of the signed one, which stands in the signature; what follows it is the signature itself.
    const end = lastRecord(answer!)!.start
    fc.assert(
      fc.property(fc.integer({ min: 2, max: end - 1 }), fc.integer({ min: 0, max: 7 }), (at, bit) => {
        const changed = Buffer.from(answer!)
        changed[at]! ^= 1 << bit
        expect(verdictOf(changed, key, mac, time)).not.toBe('valid')
      }),
      { numRuns: 2_000 },
    )
  })

  test('an answer to another question, by another key, or of another time is not valid', async () => {
    const key = ours(0)
    const time = Math.floor(Date.now() / 1_000)
    const { bytes, mac } = signMessage(soa(7), key, time)
    const [answer] = await exchangeOverTcp(endpoint(name), [bytes], 5_000, new AbortController().signal)
    const other = signMessage(soa(8), key, time)
    expect(verdictOf(answer!, key, other.mac, time)).toBe('forged')
    expect(verdictOf(answer!, { ...key, name: 'other' }, mac, time)).toBe('forged')
    expect(verdictOf(answer!, { ...key, secret: Buffer.alloc(32) }, mac, time)).toBe('forged')
    expect(verdictOf(answer!, { ...key, algorithm: 'hmac-sha1' }, mac, time)).toBe('forged')
    for (const off of [-400, 400]) expect(verdictOf(answer!, key, mac, time + off)).toBe('stale')
  })
})

test('bytes of any kind are never valid', () => {
  const key = ours(0)
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 300 }), (bytes) => {
      expect(verdictOf(Buffer.from(bytes), key, Buffer.alloc(32), 0)).not.toBe('valid')
    }),
  )
})

function verdictOf(bytes: Buffer, key: TsigKey, mac: Buffer, time: number): string {
  try {
    return checkAnswer(bytes, key, mac, time).verdict
  } catch {
    return 'no message'
  }
}
