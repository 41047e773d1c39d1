import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startPowerDns } from '../bed/powerdns.ts'
import { describeInputs, errorsOf, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gate } from './command-gate.ts'
import { type DnsScene, NEW, OLD, startDnsScene, ZONE } from './dns-scene.ts'

let scene: DnsScene
beforeAll(async () => {
  scene = await startDnsScene()
})
beforeEach(() => scene.reset())
afterAll(() => scene?.stop())

const snapshot = (type: string, values: string[]) =>
  JSON.stringify({
    version: 1,
    zone: ZONE,
    records: ['www', 'api'].map((name) => ({
      name: `${name}.${ZONE}`,
      type,
      ttl: 7,
      values,
      written: [OLD],
    })),
  })

/** Inputs for dynamic updates that are good, to a server that is not there. */
const updates = {
  provider: 'rfc2136',
  token: '',
  'api-url': 'dns://127.0.0.1:1',
  'tsig-name': 'evenkeel',
  'tsig-secret': 'c2VjcmV0',
}

describeInputs('dns-flip', {
  provider: async () => {
    expectFailure(await scene.flip({ provider: 'cloudflare' }), /empty for Cloudflare itself/)
    expectFailure(await scene.flip({ provider: 'digitalocean' }), /empty for DigitalOcean itself/)
    expectFailure(
      await scene.flip({ provider: 'bind' }),
      /`provider` is 'bind': write one of cloudflare, digitalocean, powerdns, rfc2136/,
    )
    expectFailure(await scene.flip({ provider: 'rfc2136' }), /`token` belongs to other providers/)
  },
  zone: async () => {
    expectFailure(await scene.flip({ zone: 'test.test' }), /zone not found: test\.test/)
    expectFailure(await scene.flip({ zone: '../../etc' }), /`zone` is '\.\.\/\.\.\/etc'/)
  },
  token: async () => {
    expectFailure(await scene.flip({ token: 'another' }), /status 401/)
    expectFailure(await scene.flip({ token: '' }), /`token` is required and empty: the secret/)
    expectFailure(await scene.flip({ token: 'xyzzy\nplugh: quux' }), /`token` holds blanks/)
    expectFailure(await scene.flip({ ...updates, token: 'x' }), /`token` belongs to other providers/)
  },
  'tsig-name': async () => {
    expectFailure(await scene.flip({ ...updates, 'tsig-name': '' }), /`tsig-name` is required/)
    expectFailure(await scene.flip({ ...updates, 'tsig-name': '"key"' }), /`tsig-name` is '"key"'/)
    expectFailure(
      await scene.flip({ 'tsig-name': 'x' }),
      /`tsig-name` belongs to rfc2136 only: powerdns has `token`/,
    )
  },
  'tsig-secret': async () => {
    expectFailure(
      await scene.flip({ ...updates, 'tsig-secret': '' }),
      /`tsig-secret` is required and empty: the secret/,
    )
    const pasted = await scene.flip({ ...updates, 'tsig-secret': 'secret "c2VjcmV0"' })
    expectFailure(pasted, /`tsig-secret` is not base64: .*\(only what stands between the quotes/)
    expect(errorsOf(pasted)).not.toContain('c2VjcmV0')
    expectFailure(await scene.flip({ 'tsig-secret': 'c2VjcmV0' }), /`tsig-secret` belongs to rfc2136 only/)
  },
  'tsig-algorithm': async () => {
    expectFailure(
      await scene.flip({ ...updates, 'tsig-algorithm': 'hmac-md5' }),
      /`tsig-algorithm` is hmac-md5, which is broken/,
    )
    expectFailure(
      await scene.flip({ ...updates, 'tsig-algorithm': 'sha256' }),
      /`tsig-algorithm` is 'sha256': write one of hmac-sha256, hmac-sha224/,
    )
    expectFailure(
      await scene.flip({ 'tsig-algorithm': 'hmac-sha512' }),
      /`tsig-algorithm` belongs to rfc2136 only/,
    )
  },
  'api-url': async () => {
    expectFailure(await scene.flip({ 'api-url': 'ftp://x' }), /`api-url` is not an http/)
    expectFailure(await scene.flip({ 'api-url': '' }), /`api-url` is required/)
    for (const provider of ['cloudflare', 'digitalocean']) {
      // Without a token, it is not asked.
      const result = await scene.flip({ provider, 'api-url': '', token: '' })
      expectFailure(result, /`token` is required/)
      expect(errorsOf(result)).not.toContain('api-url')
    }
    expectFailure(await scene.flip({ 'api-url': 'http://127.0.0.1:1' }), /ECONNREFUSED/)
    expectFailure(await scene.flip(updates), /ECONNREFUSED 127\.0\.0\.1:1/)
    for (const wrong of ['https://ns1.example.test', '127.0.0.1', 'dns://127.0.0.1/x', 'dns://1.2.3:53']) {
      expectFailure(
        await scene.flip({ ...updates, 'api-url': wrong }),
        /`api-url` is '.*': for rfc2136 write dns:/,
      )
    }
  },
  records: async () => {
    expectSuccess(await scene.flip({ records: `api A ${OLD} -> ${NEW}` }))
    expect([await scene.values('www'), await scene.values('api')]).toEqual([[OLD], [NEW]])
  },
  phase: async () => {
    expectSuccess(await scene.flip({ phase: 'prepare', ttl: '1' }))
    expect(await scene.dns.recordSet(ZONE, 'www', 'A')).toEqual({ ttl: 1, values: [OLD] })
    expectFailure(await scene.flip({ phase: 'prepare' }), /`ttl` is empty/)
    const restore = snapshot('A', [NEW])
    expectFailure(
      await scene.flip({ phase: 'prepare', ttl: '1', records: '', restore }),
      /`phase` is prepare/,
    )
    expectFailure(await scene.flip({ phase: 'later' }), /`phase` is 'later'/)
  },
  ttl: async () => {
    expectFailure(await scene.flip({ ttl: '4' }), /has a TTL of 5 s, above `ttl` \(4 s\)/)
    expectFailure(await scene.flip({ ttl: '500ms' }), /`ttl` is '500ms': write seconds or a duration/)
    expectFailure(await scene.flip({ ttl: '700000' }), /`ttl` is '700000'/)
    const restore = snapshot('A', [NEW])
    expectFailure(await scene.flip({ ttl: '60s', records: '', restore }), /`ttl` goes with `records`/)
  },
  prepared: async () => {
    const of = (prepared: unknown) => JSON.stringify({ ...JSON.parse(snapshot('A', [OLD])), prepared })
    const later = of({ ttl: 5, safeFrom: '2999-01-01T00:00:00.000Z' })
    expectFailure(await scene.flip({ prepared: later }), /a flip is safe from 2999-01-01/)
    expectSuccess(await scene.flip({ prepared: of({ ttl: 5, safeFrom: '2001-01-01T00:00:00.000Z' }) }))
    expect(await scene.dns.recordSet(ZONE, 'www', 'A')).toEqual({ ttl: 7, values: [NEW] })
    expectFailure(
      await scene.flip({ prepared: snapshot('A', [OLD]) }),
      /`prepared` is no snapshot of a run with/,
    )
    const records = `shop A ${OLD} -> ${NEW}`
    expectFailure(await scene.flip({ prepared: later, records }), /`prepared` is of other names/)
    const restore = snapshot('A', [NEW])
    expectFailure(
      await scene.flip({ prepared: later, records: '', restore }),
      /`prepared` goes with `records`/,
    )
  },
  canary: async () => {
    const result = await scene.flip({ canary: '2', verify: 'echo "verified: $EVENKEEL_NAMES"' })
    expectSuccess(result)
    expect(result.log).toContain(`verified: www.${ZONE} api.${ZONE}`)
  },
  'verify-url': async () => {
    expectFailure(await scene.flip({ 'verify-url': 'http://{name}:1/' }), /does not serve the live names/)
    expectFailure(await scene.flip({ 'verify-url': `http://${OLD}/` }), /must have \{name\} as its host/)
    expectFailure(await scene.flip({ 'verify-url': 'http://{host}/' }), /'\{host\}' is not a placeholder/)
    expect((await scene.flip({ 'verify-url': '' })).log).toContain('is not tried before the flip')
  },
  'expect-status': async () => {
    expectFailure(await scene.flip({ 'expect-status': '204' }), /unexpected status, status 200/)
  },
  'expect-body': async () => {
    expectFailure(await scene.flip({ 'expect-body': 'version 2' }), /does not contain 'version 2'/)
    expectSuccess(await scene.flip({ 'expect-body': 'the new machine' }))
  },
  verify: async () => {
    expectFailure(await scene.flip({ verify: 'false | true' }), /`verify` failed/)
  },
  'after-flip': async () => {
    const command =
      '[ "$EVENKEEL_NAMES" = "www.example.test api.example.test" ] && echo "after $EVENKEEL_RELEASE"'
    const result = await scene.flip({ 'after-flip': command })
    expectSuccess(result)
    expect(result.log).toMatch(/after 0123456-1234567890/)
    expectFailure(await scene.flip({ 'after-flip': 'exit 4' }), /`after-flip` failed with exit code 4/)
  },
  nameservers: async () => {
    expectFailure(await scene.flip({ nameservers: '127.0.0.1:1' }), /do not say what its provider says/)
    expectFailure(
      await scene.flip({ nameservers: 'ns1.example.test' }),
      /`nameservers` has 'ns1\.example\.test'/,
    )
  },
  resolvers: async () => {
    const stale = await startPowerDns({
      zones: { [ZONE]: ['www', 'api'].map((name) => ({ name, type: 'A', ttl: 5, values: [OLD] })) },
    })
    try {
      const result = await scene.flip(
        { resolvers: `${stale.address}:${stale.port}` },
        {
          during: async (run) => {
            await run.waitForLog(new RegExp(`waiting for .*:${stale.port} \\(old TTL 5 s\\)`))
            for (const name of ['www', 'api']) await stale.replace(ZONE, { name, type: 'A', values: [NEW] })
          },
        },
      )
      expectSuccess(result)
    } finally {
      await stale.stop()
    }
  },
  watch: async () => {
    const result = await scene.flip(
      { watch: '10m' },
      {
        during: async (run) => {
          await run.waitForLog(/watching for 600 s/)
          await scene.answerWith(500)
        },
      },
    )
    expectFailure(result, /went bad while it was watched/, /status 500/, /is back at the old value/)
    expect(await scene.values('www')).toEqual([OLD])
  },
  'on-failure': async () => {
    expectFailure(await scene.flip({ verify: 'false', 'on-failure': 'stop' }), /holds the new value/)
    expect(await scene.values('www')).toEqual([NEW])
  },
  restore: async () => {
    expectSuccess(await scene.flip({ records: '', restore: snapshot('A', [NEW]) }))
    expect(await scene.dns.recordSet(ZONE, 'api', 'A')).toEqual({ ttl: 7, values: [NEW] })
    expectFailure(
      await scene.flip({ restore: snapshot('A', [NEW]) }),
      /`restore` and `records` are both given/,
    )
    for (const hostile of ['{}', 'null', '[', snapshot('TXT', ['x']), snapshot('A', ['$(id)'])]) {
      expectFailure(await scene.flip({ records: '', restore: hostile }), /`restore` (is not|holds a record)/)
    }
  },
  names: async () => {
    const inputs = { records: '', restore: snapshot('A', [NEW]) }
    expectSuccess(await scene.flip({ ...inputs, names: 'api' }))
    expect([await scene.values('www'), await scene.values('api')]).toEqual([[OLD], [NEW]])
    expectFailure(await scene.flip({ ...inputs, names: 'shop' }), /`names` has shop\.example\.test/)
    expectFailure(await scene.flip({ names: 'api' }), /`names` limits what `restore` brings back/)
  },
  'dry-run': async () => {
    expectSuccess(await scene.flip({ 'dry-run': 'true' }))
    expect(await scene.values('www')).toEqual([OLD])
  },
})

test('everything that is wrong is reported together, before any connection', async () => {
  const result = await scene.flip({
    provider: '',
    zone: 'example',
    'api-url': '',
    records: 'www TXT a -> b\n*.x A 192.0.2.1 -> 192.0.2.2',
    recrods: 'x',
    canary: 'one',
    watch: 'long',
    'on-failure': 'panic',
  })
  expectFailure(
    result,
    /`provider` is required/,
    /`zone` is 'example'/,
    /`api-url` is required/,
    /`records` line 'www TXT a -> b': only A, AAAA, CNAME/,
    /a wildcard is not changed/,
    /`recrods` is not an input of this action: did you mean `records`/,
    /`canary` is 'one'/,
    /`watch` is 'long'/,
    /`on-failure` is 'panic'/,
    /no connection was made/,
  )
})

test('a cancel ends the command with all it has started', async () => {
  const wait = gate()
  try {
    const result = await scene.flip(
      { verify: `(${wait.command}) &\nwait` },
      { during: (run) => run.waitForLog(/at the gate: www/).then(() => run.cancel()) },
    )
    expect(result.orphans).toEqual([])
  } finally {
    wait.remove()
  }
})
