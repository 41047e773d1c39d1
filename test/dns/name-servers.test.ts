import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askNameServers, PROOF, proveAtNameServers, zoneNameServers } from '../../src/dns/name-servers.ts'
import { powerDns } from '../../src/dns/providers/powerdns.ts'
import { askServer, DnsQueryError, parseEndpoint } from '../../src/dns/query.ts'
import { lookupThrough } from '../../src/dns/resolver.ts'
import { type PowerDns, startPowerDns } from '../bed/powerdns.ts'
import { recordingContext } from '../ssh/recording-context.ts'
import { startScriptedServer } from './scripted-server.ts'

const many = Array.from({ length: 120 }, (_, index) => `192.0.2.${index + 1}`)
let first: PowerDns
let second: PowerDns
beforeAll(async () => {
  const sets = [
    { name: 'www', type: 'A', ttl: 60, values: ['192.0.2.1'] },
    { name: 'many', type: 'A', values: many },
    { name: 'alias', type: 'CNAME', values: ['www.example.test.'] },
    { name: 'six', type: 'AAAA', values: ['2001:db8:0:0:1::1'] },
  ]
  first = await startPowerDns({ zones: { 'example.test': sets } })
  second = await startPowerDns({ zones: { 'example.test': sets } })
})
afterAll(async () => {
  await first?.stop()
  await second?.stop()
})

const endpoint = ({ address, port }: PowerDns) => ({ ip: address, port })
const server = (dns: PowerDns, name = 'ns1') => ({ name, addresses: [endpoint(dns)] })
const www = { name: 'www.example.test', type: 'A', ttl: 60, values: ['192.0.2.1'] }

describe('a question to one server', () => {
  const context = recordingContext()
  const ask = (name: string, type: 'A' | 'AAAA' | 'CNAME' | 'SOA') =>
    askServer(endpoint(first), { name: `${name}.test`, type }, context)

  test('gives the values, their TTL and the authority', async () => {
    expect(await ask('www.example', 'A')).toEqual({
      rcode: 'NOERROR',
      authoritative: true,
      values: ['192.0.2.1'],
      ttl: 60,
    })
    expect((await ask('alias.example', 'CNAME')).values).toEqual(['www.example.test'])
    expect((await ask('six.example', 'AAAA')).values).toEqual(['2001:db8::1:0:0:1'])
  })

  test('goes on over TCP where the answer is too big', async () => {
    expect([...(await ask('many.example', 'A')).values].sort()).toEqual([...many].sort())
  })

  test('tells of names that are not there, and of zones that are not served', async () => {
    expect(await ask('nowhere.example', 'A')).toMatchObject({ rcode: 'NXDOMAIN', authoritative: true })
    expect(await ask('other', 'A')).toMatchObject({ rcode: 'REFUSED', authoritative: false })
  })

  test('fails at once where nobody listens', async () => {
    const closed = askServer({ ip: '127.0.0.1', port: 1 }, { name: 'www.example.test', type: 'A' }, context)
    await expect(closed).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('fails, and no more than that, where there is no way', async () => {
    // Link-local, without its link: the kernel refuses to connect, as it does without a route.
    const nowhere = askServer({ ip: 'fe80::1', port: 53 }, { name: 'www.example.test', type: 'A' }, context)
    await expect(nowhere).rejects.toBeInstanceOf(DnsQueryError)
  })

  test('is unchecked where there is no route, while the name server has another address', async () => {
    const servers = [{ name: 'ns1', addresses: [{ ip: 'fe80::1', port: 53 }, endpoint(first)] }]
    expect(await askNameServers(servers, [www], context)).toEqual({
      agreed: true,
      differences: [],
      unchecked: ['[fe80::1]'],
    })
  })
})

describe("the zone's own name servers", () => {
  const zone = { name: 'example.test', id: 'example.test.' }
  const provider = (dns: PowerDns) => powerDns({ apiUrl: dns.apiUrl, token: dns.apiKey })

  test('are those that it is delegated to', async () => {
    const found = await zoneNameServers(provider(first), zone, [endpoint(second)], recordingContext())
    expect(found).toEqual([{ name: 'ns1.example.test', addresses: [{ ip: '127.0.0.1', port: 53 }] }])
  })

  test('must be of this provider', async () => {
    const world = await startPowerDns({ zones: { 'example.test': [] } })
    try {
      await world.replace('example.test', { name: '@', type: 'NS', values: ['ns.elsewhere.test.'] })
      const found = zoneNameServers(provider(first), zone, [endpoint(world)], recordingContext())
      await expect(found).rejects.toMatchObject({
        message: 'example.test is not delegated to this provider',
        details: { seen: 'the world asks ns.elsewhere.test; PowerDNS has ns1.example.test' },
      })
    } finally {
      await world.stop()
    }
  })

  test('cannot be guessed where no resolver answers', async () => {
    const nobody = [{ ip: '127.0.0.1', port: 1 }]
    const found = zoneNameServers(provider(first), zone, nobody, recordingContext())
    await expect(found).rejects.toMatchObject({ details: { hint: expect.stringContaining('`nameservers`') } })
  })
})

describe('all name servers', () => {
  test('agree, or the one that differs is named', async () => {
    const context = recordingContext()
    const servers = [server(first), server(second, 'ns2')]
    expect(await askNameServers(servers, [www], context)).toMatchObject({ agreed: true, differences: [] })
    const other = { ...www, values: ['192.0.2.9'] }
    expect((await askNameServers(servers, [other], context)).differences).toHaveLength(2)
    const slower = { ...www, ttl: 300 }
    expect((await askNameServers(servers, [slower], context)).differences[0]).toMatch(/TTL 60, not 300/)
    expect(await askNameServers([], [www], context)).toMatchObject({ agreed: false })
  })

  test('a name server that lags holds the proof back until it agrees', async () => {
    const context = recordingContext()
    const next = { ...www, values: ['192.0.2.2'] }
    await first.replace('example.test', { name: 'www', type: 'A', ttl: 60, values: next.values })
    const policy = { rounds: 3, intervalMs: 20, timeoutMs: 20_000 }
    const log = {
      ...context.log,
      info: (line: string) => {
        context.log.info(line)
        if (line.includes('waiting'))
          void second.replace('example.test', { name: 'www', type: 'A', ttl: 60, values: next.values })
      },
    }
    const proof = await proveAtNameServers([server(first), server(second, 'ns2')], [next], policy, {
      ...context,
      log,
    })
    expect(proof.rounds).toBeGreaterThan(3)
    expect(context.lines.join('\n')).toMatch(
      /ns2: .* has www\.example\.test A 192\.0\.2\.1, not 192\.0\.2\.2/,
    )
  })

  test.each([
    1_000, 2_500, 5_000, 20_000,
  ])('a change that takes %i ms is proven before half of that has passed again', async (changesAfter) => {
    const before = { ...www, values: ['192.0.2.3'] }
    const next = { ...www, values: ['192.0.2.4'] }
    const write = (dns: PowerDns, { values }: typeof www) =>
      dns.replace('example.test', { name: 'www', type: 'A', ttl: 60, values })
    await write(first, next)
    await write(second, before)
    let now = 0
    let changed = false
    const sleep = async (ms: number) => {
      if (!changed && now + ms >= changesAfter) {
        changed = true
        await write(second, next)
      }
      now += ms
    }
    const clock = { now: () => now, monotonic: () => now, sleep }
    const context = { ...recordingContext(), clock }
    const { at } = await proveAtNameServers([server(first), server(second, 'ns2')], [next], PROOF, context)
    expect(at).toBeGreaterThanOrEqual(changesAfter)
    expect(at).toBeLessThanOrEqual(changesAfter * 1.1 + 50)
    expect(now).toBeLessThanOrEqual(changesAfter * 1.5)
    expect(now - at).toBeGreaterThanOrEqual(changesAfter / 10)
  })

  test('a name server that answers old and new by turns is not believed before it keeps to the new', async () => {
    const [old, fresh] = ['192.0.2.1', '192.0.2.2']
    const script = [old, fresh, old, fresh, fresh, fresh, fresh, old, fresh]
    const turns = await startScriptedServer(script)
    try {
      const servers = [{ name: 'ns1', addresses: [turns] }]
      const proof = await proveAtNameServers(
        servers,
        [{ ...www, values: [fresh] }],
        PROOF,
        recordingContext(),
      )
      expect(proof.rounds).toBe(script.length - 1 + PROOF.rounds)
    } finally {
      turns.stop()
    }
  })

  test('one that never agrees ends the wait with an error that names it', async () => {
    const context = recordingContext()
    const never = { ...www, values: ['192.0.2.77'] }
    const policy = { rounds: 3, intervalMs: 20, timeoutMs: 100 }
    await expect(proveAtNameServers([server(first)], [never], policy, context)).rejects.toMatchObject({
      message: 'the name servers did not agree within 0.1 s',
      details: { seen: expect.stringContaining('ns1: 127.0.0.1') },
    })
  })
})

test.each([
  ['192.0.2.1', { ip: '192.0.2.1', port: 53 }],
  ['192.0.2.1:5353', { ip: '192.0.2.1', port: 5353 }],
  ['2001:db8::1', { ip: '2001:db8::1', port: 53 }],
  ['[2001:db8::1]:5353', { ip: '2001:db8::1', port: 5353 }],
  ['192.0.2.1:0', undefined],
  ['192.0.2.1:99999', undefined],
  ['ns1.example.test', undefined],
  ['[192.0.2.1', undefined],
])('%s as a server', (text, wanted) => {
  expect(parseEndpoint(text)).toEqual(wanted)
})

describe('a connection that finds its host through resolvers', () => {
  const find = async (host: string, all: boolean) =>
    await new Promise((resolve, reject) => {
      lookupThrough([endpoint(first)])(host, { all }, (error, address, family) => {
        if (error) reject(error)
        else resolve(all ? address : [address, family])
      })
    })

  test('is given the addresses that they say', async () => {
    expect(await find('six.example.test', false)).toEqual(['2001:db8::1:0:0:1', 6])
    await first.replace('example.test', { name: 'six', type: 'A', values: ['192.0.2.6'] })
    expect(await find('six.example.test', true)).toEqual([
      { address: '192.0.2.6', family: 4 },
      { address: '2001:db8::1:0:0:1', family: 6 },
    ])
  })

  test('fails where there are none', async () => {
    await expect(find('nowhere.example.test', true)).rejects.toMatchObject({ code: 'ENOTFOUND' })
  })
})
