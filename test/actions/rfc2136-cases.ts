import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../bed/process.ts'
import { makeTsigKey } from '../bed/zone.ts'
import { errorsOf, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { gate } from './command-gate.ts'
import { startBetween } from './dns-between.ts'
import { startReader } from './dns-reader.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'
import { type ServerName, startUpdateScene, type UpdateScene } from './rfc2136-scene.ts'

/** Flips by dynamic updates, the same on every server. */
export function describeUpdates(name: ServerName): void {
  let scene: UpdateScene
  let wait: ReturnType<typeof gate>
  beforeAll(async () => {
    scene = await startUpdateScene(name)
  })
  beforeEach(async () => {
    wait = gate()
    await scene.reset()
  })
  afterEach(() => wait.remove())
  afterAll(() => scene?.stop())

  const both = async () => [await scene.values('www'), await scene.values('api')]

  test('both names flip and come back by the snapshot, and no reader ever sees them gone', async () => {
    const reader = startReader(scene.server, [`www.${ZONE}`, `api.${ZONE}`])
    const result = await scene.flip()
    expectSuccess(result)
    expect(await both()).toEqual([[NEW], [NEW]])
    expect((await scene.server.query(`www.${ZONE}`))[0]?.ttl).toBe(5)
    expect(result.outputs['changed']).toBe('2')
    const back = await scene.flip({ records: '', restore: result.outputs['snapshot'] ?? '' })
    expectSuccess(back)
    expect(await both()).toEqual([[OLD], [OLD]])
    const seen = await reader.stop()
    expect(seen.answers).toBeGreaterThan(1_000)
    expect([...seen.kinds].sort()).toEqual([`NOERROR ${OLD}`, `NOERROR ${NEW}`])
  })

  test('a dry run prints the plan and leaves the zone as it is', async () => {
    const before = await scene.serial()
    const result = await scene.flip({ 'dry-run': 'true' })
    expectSuccess(result)
    expect(result.log).toMatch(/www\.example\.test +A +127\.0\.0\.1 +127\.0\.0\.2 +5 +no +to be written/)
    expect(await scene.serial()).toBe(before)
    expect(await both()).toEqual([[OLD], [OLD]])
  })

  test('every type, several values, and the apex', async () => {
    const records = [
      `many A 127.0.0.4, ${OLD}, 127.0.0.3 -> ${NEW}, 127.0.0.5`,
      'six AAAA 2001:db8::1 -> 2001:db8::2',
      'alias CNAME old.example.test -> new.example.test.',
      `@ A ${OLD} -> ${NEW}`,
    ].join('\n')
    const result = await scene.flip({ records })
    expectSuccess(result)
    expect(await scene.values('many')).toEqual([NEW, '127.0.0.5'])
    expect(await scene.values('six', 'AAAA')).toEqual(['2001:db8::2'])
    expect(await scene.values('alias', 'CNAME')).toEqual(['new.example.test'])
    expect(await scene.server.query(ZONE)).toEqual([{ address: NEW, ttl: 7 }])
    expectSuccess(await scene.flip({ records: '', restore: result.outputs['snapshot'] ?? '' }))
    expect(await scene.values('many')).toEqual([OLD, '127.0.0.3', '127.0.0.4'])
    expect(await scene.values('alias', 'CNAME')).toEqual(['old.example.test'])
  })

  test('TTLs come down ahead and back again, in place', async () => {
    const records = `www A ${OLD} -> ${NEW}`
    const ahead = await scene.flip({ records, phase: 'prepare', ttl: '1s' })
    expectSuccess(ahead)
    expect(await scene.server.query(`www.${ZONE}`)).toEqual([{ address: OLD, ttl: 1 }])
    const safeFrom = Date.parse(ahead.outputs['safe-from'] ?? '')
    await until('a flip is safe', () => Date.now() >= safeFrom)
    expectSuccess(await scene.flip({ records, ttl: '1s', prepared: ahead.outputs['snapshot'] ?? '' }))
    expect(await scene.server.query(`www.${ZONE}`)).toEqual([{ address: NEW, ttl: 5 }])
  })

  test('a change by somebody else after the plan is left alone', async () => {
    const foreign = ['127.0.0.9']
    const result = await scene.flip(
      { verify: wait.command },
      {
        during: async (run) => {
          await run.waitForLog(/at the gate: www/)
          await scene.replace({ name: 'api', type: 'A', ttl: 5, values: foreign })
          wait.open()
        },
      },
    )
    expectFailure(result, /api\.example\.test A was changed by somebody else/, /is back at the old value/)
    expect(await both()).toEqual([[OLD], foreign])
  })

  test('a change by somebody else between reading and writing is found out by the server itself', async () => {
    const foreign = ['127.0.0.9']
    let serial = 0
    const between = await startBetween(scene.server, async (update, forward) => {
      await scene.replace({ name: 'www', type: 'A', ttl: 5, values: foreign })
      serial = await scene.serial()
      return await forward(update)
    })
    try {
      const result = await scene.flip({ 'api-url': between.url })
      expectFailure(result, /www\.example\.test A was changed by somebody else/, /it is 127\.0\.0\.9/)
      expect(await both()).toEqual([foreign, [OLD]])
      expect(await scene.serial()).toBe(serial)
    } finally {
      await between.stop()
    }
  })

  test('what fails after the canary goes back', async () => {
    const result = await scene.flip({ verify: 'false' })
    expectFailure(result, /`verify` failed/, /www\.example\.test A is back at the old value/)
    expect(await both()).toEqual([[OLD], [OLD]])
  })

  test('killed after a write: the settle step goes back', async () => {
    const result = await scene.flip(
      { verify: wait.command },
      { during: (run) => run.waitForLog(/at the gate: www/).then(() => run.kill9()) },
    )
    expect(result.log).toMatch(/www\.example\.test A is back at the old value/)
    expect(await both()).toEqual([[OLD], [OLD]])
  })

  test('lost with its runner after a write: the next run goes on from there, and one more writes nothing', async () => {
    await scene.flip(
      { verify: wait.command },
      { during: (run) => run.waitForLog(/at the gate: www/).then(() => run.lostRunner()) },
    )
    expect(await both()).toEqual([[NEW], [OLD]])
    const next = await scene.flip()
    expectSuccess(next)
    expect(next.outputs['changed']).toBe('1')
    expect(await both()).toEqual([[NEW], [NEW]])
    const before = await scene.serial()
    const last = await scene.flip()
    expectSuccess(last)
    expect(last.outputs['changed']).toBe('0')
    expect(await scene.serial()).toBe(before)
  })

  test('stops before anything is written, for all that is wrong at once', async () => {
    const before = await scene.serial()
    const names = ['www', 'x.wild', 'alias', 'www.child', 'many', 'both', 'hint', 'nowhere']
    const records = names.map((one) => `${one} A ${OLD} -> ${NEW}`).join('\n')
    expectFailure(
      await scene.flip({ records }),
      /x\.wild\.example\.test A .*answers for it come from \*\.wild/,
      /alias\.example\.test A .*is a CNAME to old\.example\.test/,
      /www\.child\.example\.test A .*child\.example\.test is delegated/,
      /many\.example\.test A .*more values than expected \(127\.0\.0\.[34], 127\.0\.0\.[34]\)/,
      /both\.example\.test A .*leaves AAAA 2001:db8::1 behind/,
      /hint\.example\.test A .*leaves an HTTPS record .*ipv4hint=127\.0\.0\.1/,
      /nowhere\.example\.test A .*records are changed, never made/,
      /nothing was changed/,
    )
    expect(await scene.serial()).toBe(before)
  })

  if (name === 'PowerDNS') {
    test('a record that the server computes is left alone', async () => {
      expect(await scene.values('lua')).toEqual([OLD])
      const result = await scene.flip({ records: `lua A ${OLD} -> ${NEW}` })
      expectFailure(result, /lua\.example\.test A is made up by the server from something else/)
    })
  }

  test('a name that the key may not change', async () => {
    const before = await scene.serial()
    const result = await scene.flip({ records: `held A ${OLD} -> ${NEW}` })
    if (name === 'PowerDNS')
      expectFailure(
        result,
        /took the change of held\.example\.test A and did not make it/,
        /lua-dnsupdate-policy-script/,
      )
    else
      expectFailure(
        result,
        /the key 'evenkeel' may not change held\.example\.test A/,
        /grant evenkeel name held\.example\.test\. A/,
        /nothing was changed/,
      )
    expect(await scene.serial()).toBe(before)
    expect(await scene.values('held')).toEqual([OLD])
  })

  describe('errors say what to do, and never hold the secret', () => {
    const told = {
      BIND: {
        key: /does not take the key/,
        secret: /takes the signature .* for wrong/,
        zone: /REFUSED|NOTAUTH/,
      },
      Knot: {
        key: /does not take the key/,
        secret: /takes the signature .* for wrong/,
        zone: /REFUSED|NOTAUTH/,
      },
      PowerDNS: { key: /NOTAUTH/, secret: /`tsig-secret` or the clock is wrong/, zone: /REFUSED|NOTAUTH/ },
    }[name]

    test('a key of another name, and another algorithm', async () => {
      expectFailure(
        await scene.flip({ 'tsig-name': 'nobody' }),
        told.key,
        /`tsig-name`/,
        /nothing was changed/,
      )
      expectFailure(await scene.flip({ 'tsig-algorithm': 'hmac-sha512' }), told.key, /`tsig-algorithm`/)
    })

    test('a wrong secret', async () => {
      const { secret } = makeTsigKey()
      const result = await scene.flip({ 'tsig-secret': secret })
      expectFailure(result, told.secret, /nothing was changed/)
      expect(result.masks).toContain(secret)
      expect(errorsOf(result)).not.toContain(secret)
    })

    test('a clock that is an hour late', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'evenkeel-clock-'))
      const file = join(folder, 'late.cjs')
      writeFileSync(file, 'const now = Date.now; Date.now = () => now() - 3600_000')
      try {
        const result = await scene.flip({}, { env: { NODE_OPTIONS: `--require=${file}` } })
        expectFailure(
          result,
          name === 'PowerDNS' ? /the clock is wrong/ : /clocks .* differ/,
          /nothing was changed/,
        )
      } finally {
        rmSync(folder, { recursive: true })
      }
    })

    test('a zone that is not there', async () => {
      const result = await scene.flip({ zone: 'other.test', records: `www A ${OLD} -> ${NEW}` })
      expectFailure(result, told.zone, /other\.test/, /nothing was changed/)
    })
  })
}
