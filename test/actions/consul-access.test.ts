// A Consul as it is in production: with access control, and with TLS under an authority of its own.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Consul, startConsul } from '../bed/consul.ts'
import { repositoryRoot } from '../harness/action-file.ts'
import { runAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type ConsulBed, startConsulBed, VALUE } from './consul-bed.ts'

const action = 'consul-restart'
/** As the README tells it. */
const policy =
  /```hcl\n([\s\S]*?)```/.exec(
    readFileSync(join(repositoryRoot, 'actions', action, 'README.md'), 'utf8'),
  )?.[1] ?? ''

/** A key and its certificate, signed by an authority that is new, too. */
function makeCertificate(): { authority: string; key: string; certificate: string } {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-authority-'))
  const openssl = (args: string) => execFileSync('openssl', args.split(' '), { cwd: folder, stdio: 'pipe' })
  try {
    const fresh = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
    openssl(`req -x509 ${fresh} -days 3650 -subj /CN=authority -keyout ca.key -out ca.pem`)
    openssl(`req ${fresh} -subj /CN=consul -keyout server.key -out server.csr`)
    writeFileSync(join(folder, 'extensions'), 'subjectAltName=IP:127.0.0.1\n')
    openssl(
      'x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile extensions -out server.pem',
    )
    const read = (name: string) => readFileSync(join(folder, name), 'utf8')
    return { authority: read('ca.pem'), key: read('server.key'), certificate: read('server.pem') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const tls = makeCertificate()
let bed: ConsulBed
let consul: Consul

beforeAll(async () => {
  consul = await startConsul({ acl: true, tls })
  bed = await startConsulBed({ consul, nodes: 2, upsync: { token: consul.token ?? '' } })
})
afterAll(() => bed?.stop())

const NODES = 'key_prefix "upstreams/app/"'
const OWN = 'key_prefix "evenkeel/upstreams/app/" { policy = "write" }'
const SESSIONS = 'session_prefix "" { policy = "write" }'

describe('access control', { timeout: 90_000 }, () => {
  test('the documented policy is enough for a rollout', async () => {
    const token = await consul.tokenFor(policy)
    const result = await runAction({
      action,
      inputs: { ...bed.quietInputs, 'consul-token': token },
      deadline: 80_000,
    })
    expectSuccess(result)
    for (const app of bed.apps) expect(await bed.stored(app)).toBe(VALUE)
  })

  test.each<[string, string | undefined, RegExp, RegExp?]>([
    ['no token', undefined, /Consul denies reading the keys below upstreams\/app\//, /consul-token/],
    ['no right to read the nodes', `${OWN}\n${SESSIONS}`, /denies reading the keys below/, /policy/],
    [
      'no right to sessions',
      `${NODES} { policy = "write" }\n${OWN}`,
      /denies access/,
      /session\/create: status 403/,
    ],
    [
      'no right to the lease',
      `${NODES} { policy = "write" }\n${SESSIONS}`,
      /denies access/,
      /evenkeel\/upstreams\/app\/lock: status 403/,
    ],
    [
      'no right to write the nodes',
      `${NODES} { policy = "read" }\n${OWN}\n${SESSIONS}`,
      /denies a write/,
      /upstreams\/app\/127\.0\.0\.1:\d+: .*[Pp]ermission denied/,
    ],
  ])('%s: it is told which, and no node is touched', async (_, rules, what, more) => {
    const token = rules === undefined ? '' : await consul.tokenFor(rules)
    const pids = bed.apps.map((app) => app.pid())
    const result = await runAction({
      action,
      inputs: { ...bed.quietInputs, release: 'v3', 'consul-token': token },
    })
    expectFailure(result, what, more ?? what)
    expect(bed.apps.map((app) => app.pid())).toEqual(pids)
    for (const app of bed.apps) expect(await bed.stored(app)).toBe(VALUE)
    expect(await consul.get('evenkeel/upstreams/app/lock')).toBeUndefined()
  })

  test('a token that Consul does not know is refused as such', async () => {
    const result = await runAction({
      action,
      inputs: { ...bed.quietInputs, 'consul-token': '00000000-0000-4000-8000-000000000000' },
    })
    expectFailure(result, /Consul denies access/, /status 403.*ACL not found/)
  })

  test('a right to nodes that there are none of is no denial', async () => {
    const token = await consul.tokenFor(`key_prefix "upstreams/none/" { policy = "write" }`)
    const result = await runAction({
      action,
      inputs: { ...bed.quietInputs, upstream: 'upstreams/none', 'consul-token': token },
    })
    expectFailure(result, /Consul has no nodes below upstreams\/none\//)
  })
})

describe('TLS', { timeout: 90_000 }, () => {
  const over = (ca: string) => ({
    ...bed.quietInputs,
    ...{ release: 'tls', 'consul-url': consul.tlsUrl!, 'consul-ca': ca, 'consul-token': consul.token! },
  })

  test.each(['runner', 'ssh'])('a rollout with the authority of its own, from the %s', async (from) => {
    const { user, host, port } = bed.sshd
    const inputs = { ...over(tls.authority), release: `tls-${from}` }
    const result = await runAction({
      action,
      inputs: from === 'ssh' ? { ...inputs, 'consul-from': `${user}@${host}:${port}` } : inputs,
      deadline: 80_000,
    })
    expectSuccess(result)
  })

  test.each([
    ['none', ''],
    ['another', makeCertificate().authority],
  ])('with %s it is refused, and nothing is sent', async (_, authority) => {
    const result = await runAction({ action, inputs: over(authority) })
    expectFailure(result, /Consul cannot be reached/, /certificate|signature/)
  })
})
