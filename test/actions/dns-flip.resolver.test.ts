// A resolver with two backends, of which one follows a name server that lags: it answers old, new and old again.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PowerDns, startPowerDns } from '../bed/powerdns.ts'
import { until } from '../bed/process.ts'
import { startUnbound, type Unbound } from '../bed/unbound.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { type DnsScene, NEW, OLD, startDnsScene, ZONE } from './dns-scene.ts'

const TTL = 1
const sets = (value: string) => ['www', 'api'].map((name) => ({ name, type: 'A', ttl: TTL, values: [value] }))

let scene: DnsScene
let lagging: PowerDns
let backends: Unbound[] = []
beforeAll(async () => {
  scene = await startDnsScene()
  for (const set of sets(OLD)) await scene.dns.replace(ZONE, set)
  lagging = await startPowerDns({ zones: { [ZONE]: sets(OLD) } })
  const first = await startUnbound({ zones: { [ZONE]: [scene.dns] }, logQueries: true })
  backends = [first]
  backends.push(await startUnbound({ zones: { [ZONE]: [lagging] }, logQueries: true, port: first.port }))
})
afterAll(async () => {
  await Promise.all(backends.map((backend) => backend.stop()))
  await lagging?.stop()
  await scene?.stop()
})

const questions = () => backends.map((backend) => backend.log().split(` www.${ZONE}. A IN`).length - 1)

test('one new answer is not believed', async () => {
  const result = await scene.flip(
    { resolvers: backends[0]!.endpoint, 'after-flip': 'echo "all is new"' },
    {
      during: async (run) => {
        await run.waitForLog(/waiting for .* \(old TTL 1 s\)/)
        const seen: string[] = []
        await until('it answers old, new, old', async () => {
          const [answer] = await backends[0]!.query(`www.${ZONE}`)
          if (answer && answer.address !== seen.at(-1)) seen.push(answer.address)
          return seen.join().includes([OLD, NEW, OLD].join())
        })
        const before = questions()
        await until('both backends were asked again and again', () =>
          questions().every((count, index) => count > (before[index] ?? 0) + 10),
        )
        expect(run.log).not.toContain('after-flip: www')
        for (const set of sets(NEW)) await lagging.replace(ZONE, set)
      },
    },
  )
  expectSuccess(result)
  expect(result.log).toMatch(/^all is new$/m)
  for (let count = 0; count < 20; count++)
    expect((await backends[0]!.query(`www.${ZONE}`))[0]?.address).toBe(NEW)
})
