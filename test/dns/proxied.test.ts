// Names that their provider answers for with addresses of its own: DNS never shows what their records hold.
import { createServer, request, type Server } from 'node:http'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { checkNameServers, type FlipOptions, flip } from '../../src/dns/flip.ts'
import { PROOF } from '../../src/dns/name-servers.ts'
import { makePlan } from '../../src/dns/plan.ts'
import type { RecordSet } from '../../src/dns/record.ts'
import { parseRecordLines } from '../../src/dns/record-lines.ts'
import { parseStatusRanges } from '../../src/health/check.ts'
import { freePort } from '../bed/ports.ts'
import { type PowerDns, startPowerDns } from '../bed/powerdns.ts'
import { recordingContext } from '../ssh/recording-context.ts'
import { memoryProvider } from './memory-provider.ts'

const [OLD, NEW, EDGE] = ['127.0.0.1', '127.0.0.2', '127.0.0.3']
const zone = { name: 'example.test', id: 'example.test' }
const name = 'www.example.test'
const old: RecordSet = { name, type: 'A', ttl: 1, values: [OLD], proxied: true }
const broken = new Set<string>()
let dns: PowerDns
let port: number
let servers: Server[]
let provider: ReturnType<typeof memoryProvider>

const listen = (server: Server, host: string) =>
  new Promise<Server>((resolve) => server.listen(port, host, () => resolve(server)))

beforeAll(async () => {
  dns = await startPowerDns({
    zones: { 'example.test': [{ name: 'www', type: 'A', ttl: 300, values: [EDGE] }] },
  })
  port = await freePort(EDGE)
  const machine = (host: string) =>
    createServer((_, response) => response.writeHead(broken.has(host) ? 500 : 200).end(`from ${host}`))
  // The provider's proxy passes requests on to the machine that the record names.
  const edge = createServer((incoming, response) => {
    const [host = ''] = provider.sets.get(`${name} A`)?.values ?? []
    const headers = { host: incoming.headers.host }
    if (broken.has(EDGE)) response.writeHead(522).end()
    else
      request({ host, port, path: incoming.url, headers, agent: false }, (answer) => {
        response.writeHead(answer.statusCode ?? 500)
        answer.pipe(response)
      }).end()
  })
  servers = await Promise.all([listen(machine(OLD), OLD), listen(machine(NEW), NEW), listen(edge, EDGE)])
})
beforeEach(() => {
  broken.clear()
  provider = memoryProvider([old])
})
afterAll(async () => {
  for (const server of servers ?? []) server.close()
  await dns?.stop()
})

const steps = () => {
  const { changes } = parseRecordLines([`www A ${OLD} -> ${NEW}`], zone.name)
  return makePlan(changes, new Map([[name, [old]]]), zone.name, { phase: 'flip', ttl: 60 }).steps
}
const endpoint = () => ({ ip: dns.address, port: dns.port })
const nameServers = () => [{ name: 'ns1', addresses: [endpoint()] }]
const options = (own: Partial<FlipOptions> = {}): FlipOptions => ({
  provider,
  zone,
  steps: steps(),
  servers: nameServers(),
  resolvers: [endpoint()],
  probes: [],
  proof: PROOF,
  canary: 1,
  watchMs: 0,
  onFailure: 'revert',
  prepared: undefined,
  check: {
    kind: 'http',
    url: `http://{name}:${port}/`,
    expectStatus: parseStatusRanges('200-399') ?? [],
    expectBody: undefined,
  },
  verify: undefined,
  afterFlip: undefined,
  onWrite: () => {},
  onComplete: () => {},
  ...own,
})

test('are written, and tried through the proxy, though DNS says the same before and after', async () => {
  await checkNameServers(nameServers(), steps(), recordingContext())
  const check = { ...options().check, expectBody: `from ${NEW}` } as FlipOptions['check']
  const { failure, records } = await flip(options({ check, watchMs: 100 }), recordingContext())
  expect(failure).toBeUndefined()
  expect(records).toMatchObject([{ standing: 'new' }])
  expect(provider.sets.get(`${name} A`)).toEqual({ ...old, values: [NEW] })
})

test('must be answered for by the name servers', async () => {
  const nobody = [{ ...old, name: 'nobody.example.test' }].map((current) => ({ ...steps()[0], current }))
  await expect(
    checkNameServers(nameServers(), nobody as ReturnType<typeof steps>, recordingContext()),
  ).rejects.toMatchObject({ details: { seen: expect.stringContaining('NXDOMAIN for nobody.example.test') } })
})

test('go back where the machine that the proxy asks does not serve', { timeout: 20_000 }, async () => {
  const verify = async () => void broken.add(NEW)
  const { failure } = await flip(options({ verify, watchMs: 60_000 }), recordingContext())
  expect(failure?.details.seen).toMatch(/its provider's proxy: unexpected status, status 500/)
  expect(failure?.details.state).toMatch(/www\.example\.test A is back at the old value/)
  expect(provider.sets.get(`${name} A`)).toEqual(old)
})

test('without verify-url, it is said that they are only read back', async () => {
  broken.add(EDGE)
  const context = recordingContext()
  const { failure } = await flip(options({ check: undefined }), context)
  expect(failure).toBeUndefined()
  expect(context.lines.join('\n')).toMatch(
    /proxied, and without `verify-url` only read back: www\.example\.test/,
  )
})
