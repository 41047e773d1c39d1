import { afterAll, beforeAll, expect, test } from 'vitest'
import { proveAtNameServers } from '../../src/dns/name-servers.ts'
import { proofPolicy } from '../../src/dns/proof-time.ts'
import { type PowerDns, startPowerDns } from '../bed/powerdns.ts'
import { recordingContext } from '../ssh/recording-context.ts'

const zone = 'example.test'
let dns: PowerDns
beforeAll(async () => {
  dns = await startPowerDns({
    zones: { [zone]: [{ name: 'www', type: 'A', ttl: 60, values: ['192.0.2.1'] }] },
  })
})
afterAll(() => dns?.stop())

const servers = () => [{ name: 'ns1', addresses: [{ ip: dns.address, port: dns.port }] }]
const soa = (refresh: number, retry: number) =>
  dns.replace(zone, {
    name: '@',
    type: 'SOA',
    values: [`ns1.${zone}. hostmaster.${zone}. 7 ${refresh} ${retry} 604800 3600`],
  })

test.each([
  [300, 60, 360_000],
  [10, 5, 120_000],
  [86_400, 7_200, 1_800_000],
])('a zone with a refresh of %i s and a retry of %i s', async (refresh, retry, timeoutMs) => {
  await soa(refresh, retry)
  expect(await proofPolicy(servers(), zone, recordingContext())).toMatchObject({ timeoutMs })
})

test('a name server that does not answer for the zone changes nothing', async () => {
  const nobody = [{ name: 'ns2', addresses: [{ ip: '127.0.0.1', port: 1 }] }]
  expect(await proofPolicy(nobody, zone, recordingContext())).toMatchObject({ timeoutMs: 120_000 })
  expect(await proofPolicy(servers(), 'other.test', recordingContext())).toMatchObject({ timeoutMs: 120_000 })
})

const next = { name: `www.${zone}`, type: 'A', ttl: 60, values: ['192.0.2.2'] }

test('a long wait names the server that lags again and again', async () => {
  const recording = recordingContext()
  let now = 0
  const clock = {
    now: () => now,
    monotonic: () => now,
    sleep: async (ms: number) => {
      now += ms
    },
  }
  const policy = { rounds: 3, intervalMs: 10_000, timeoutMs: 120_000 }
  await expect(proveAtNameServers(servers(), [next], policy, { ...recording, clock })).rejects.toThrow(
    'did not agree within 120 s',
  )
  const lines = recording.lines.filter((line) =>
    /waiting for the name servers.*: ns1: .*192\.0\.2\.1/.test(line),
  )
  expect(lines.length).toBeGreaterThanOrEqual(4)
})

test('a cancel ends the wait at once', async () => {
  const recording = recordingContext()
  const log = { ...recording.log, info: () => recording.abort() }
  const policy = { rounds: 3, intervalMs: 3_600_000, timeoutMs: 3_600_000 }
  await expect(proveAtNameServers(servers(), [next], policy, { ...recording, log })).rejects.toMatchObject({
    name: 'Cancelled',
  })
})
