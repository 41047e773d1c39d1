import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeClientKey, type Sshd, startSshd } from '../bed/sshd.ts'
import { runAction } from '../harness/action-run.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type CountingServer, healthInputCases, startCountingServer } from './health-input-cases.ts'
import { sshInputCases, sshInputs } from './ssh-input-cases.ts'

let sshd: Sshd
let server: CountingServer

beforeAll(async () => {
  sshd = await startSshd()
  server = await startCountingServer(200, 'all fine here\nsecond line')
})
afterAll(async () => {
  await server?.stop()
  await sshd?.stop()
})

const waitHealthy = (inputs: Record<string, string>, node: '20' | '24' = '20') =>
  runAction({ action: 'wait-healthy', inputs, node })

describe.each(['20', '24'] as const)('on Node %s', (node) => {
  test('asks through SSH until two good answers came in a row', async () => {
    const before = server.requests()
    const result = await waitHealthy({ ...sshInputs(sshd), 'health-url': server.url }, node)
    expectSuccess(result)
    expect(result.outputs).toMatchObject({ healthy: 'true', attempts: '2' })
    expect(JSON.parse(result.outputs['last'] ?? '')).toEqual({ ok: true, status: 200, body: 'all fine here' })
    expect(server.requests() - before).toBe(2)
    expect(result.orphans).toEqual([])
  })

  test('asks from the runner without any SSH', async () => {
    const result = await waitHealthy({ 'health-url': server.url, 'health-from': 'runner' }, node)
    expectSuccess(result)
    expect(result.outputs).toMatchObject({ healthy: 'true', attempts: '2' })
  })
})

describe('what it checks', () => {
  test('a command on the server', async () => {
    const result = await waitHealthy({ ...sshInputs(sshd), 'health-command': 'echo "$SHELL is up"\ntrue' })
    expectSuccess(result)
    expect(JSON.parse(result.outputs['last'] ?? '').body).toMatch(/is up$/)
  })

  test.each(['node', 'runner'])('a TCP port, from %s', async (from) => {
    const port = new URL(server.url).port
    expectSuccess(await waitHealthy({ ...sshInputs(sshd), 'health-tcp': port, 'health-from': from }))
  })

  test('several hosts at once, each under its name', async () => {
    const second = await startSshd({ host: '127.0.0.2' })
    try {
      second.addClientKey(sshd.clientKey.publicKey)
      const inputs = sshInputs(sshd)
      const result = await waitHealthy({
        ...inputs,
        host: `${inputs['host']}, ${second.user}@${second.host}:${second.port}`,
        'known-hosts': sshd.knownHostsLines + second.knownHostsLines,
        'health-url': server.url,
      })
      expectSuccess(result)
      expect(result.log).toContain(`${second.user}@127.0.0.2:${second.port} | `)
      expect(result.summary).toContain('127.0.0.2')
    } finally {
      await second.stop()
    }
  })

  test('a server that is never healthy fails the step with its last answer', async () => {
    const sick = await startCountingServer(500, 'database is down')
    try {
      const inputs = { ...sshInputs(sshd), 'health-url': sick.url, 'health-timeout': '500ms' }
      const result = await waitHealthy(inputs)
      expectFailure(result, /not healthy after \d+ probes/, /status 500/, /database is down/)
      expect(result.outputs['healthy']).toBe('false')
    } finally {
      await sick.stop()
    }
  })

  test('a server that says nothing does not hold the step', async () => {
    const command = 'sleep 600'
    const result = await waitHealthy({
      ...sshInputs(sshd),
      'health-command': command,
      'health-timeout': '500ms',
    })
    expectFailure(result, /not healthy/)
  })
})

describe('bad input, before any connection', () => {
  const url = 'http://127.0.0.1:9/'
  test('everything that is wrong is reported together', async () => {
    const result = await waitHealthy({
      host: 'u@-oProxyCommand=id',
      hots: 'web1',
      'private-key': '',
      'health-url': 'ftp://x',
      'health-timeout': 'soon',
      'healthy-threshold': '0',
      'dry-run': 'yes',
    })
    expectFailure(
      result,
      /`host` 'u@-oProxyCommand=id' is not a host/,
      /`hots` is not an input of this action: did you mean `host`\?/,
      /`private-key` is required and empty: the secret/,
      /`health-url` is not an http/,
      /`health-timeout` is 'soon': write a duration/,
      /`healthy-threshold` is '0'/,
      /`dry-run` is 'yes': write true or false/,
      /no connection was made/,
    )
  })

  test.each([
    [{ 'health-url': url, 'health-tcp': '80' }, /`health-tcp` and `health-url` are both given/],
    [{}, /give one of `health-url`/],
    [{ 'health-command': 'true', 'health-from': 'runner' }, /runs on a server/],
    [{ 'health-url': 'http://{address}/' }, /'\{address\}' is not a placeholder here/],
    [{ 'health-url': 'http://u:p@web1/' }, /must not hold a user/],
    [{ 'health-url': url, host: 'web1' }, /names no user/],
    [{ 'health-url': url, host: 'u@web1,u@web1' }, /twice/],
    [{ 'health-url': url, 'known-hosts': 'web1 nonsense' }, /`known-hosts` line 1/],
    [{ 'health-url': url, 'host-fingerprint': 'MD5:aa' }, /SHA256:/],
    [{ 'health-url': url, 'jump-private-key': 'x' }, /without `jump`|not a private key/],
    [{ 'health-url': url, 'private-key': 'ssh-ed25519 AAAA' }, /is a public key/],
  ])('%j', async (inputs: Record<string, string>, message) => {
    expectFailure(await waitHealthy({ ...sshInputs(sshd), ...inputs }), message)
  })

  test('a key that needs a passphrase says so', async () => {
    const { privateKey } = makeClientKey('ed25519', { passphrase: 'open sesame' })
    const result = await waitHealthy({ ...sshInputs(sshd), 'private-key': privateKey, 'health-url': url })
    expectFailure(
      result,
      /`private-key` the private key needs a passphrase: give it as the input 'passphrase'/,
    )
  })

  test('names are taken in any case, as the runner does', async () => {
    expectSuccess(await waitHealthy({ 'Health-URL': server.url, 'HEALTH-FROM': 'runner' }))
  })
})

test('a cancel ends the polling at once', async () => {
  const result = await runAction({
    action: 'wait-healthy',
    inputs: { ...sshInputs(sshd), 'health-command': 'false' },
    during: async (run) => {
      await run.waitForLog(/health: exit code 1/)
      void run.cancel()
    },
  })
  expect(result.conclusion).toBe('cancelled')
  expect(result.steps[0]?.sent).toEqual(['SIGINT'])
  expect(result.orphans).toEqual([])
})

test('the private key is in no log, whole or in part', async () => {
  const key = sshd.clientKey.privateKey
  const result = await runAction({
    action: 'wait-healthy',
    inputs: { ...sshInputs(sshd), 'health-url': server.url },
    secrets: { KEY: key },
  })
  expectSuccess(result)
  const lines = key.split('\n').filter((line) => line !== '' && !line.startsWith('---'))
  for (const line of lines) expect(result.log).not.toContain(line)
  expect(result.masks).toContain(key)
  // Besides the commands that hide it, the bundle prints nothing of it either.
  const printed = result.rawLog.split('\n').filter((line) => !line.startsWith('::add-mask::'))
  for (const line of lines) expect(printed.join('\n')).not.toContain(line)
})

describeInputs('wait-healthy', {
  ...sshInputCases(
    () => sshd,
    (overrides) => waitHealthy({ ...sshInputs(sshd), 'health-url': server.url, ...overrides }),
  ),
  ...healthInputCases((overrides) => waitHealthy({ ...sshInputs(sshd), ...overrides })),
  'dry-run': async () => {
    const before = server.requests()
    const result = await waitHealthy({ ...sshInputs(sshd), 'health-url': server.url, 'dry-run': 'true' })
    expectSuccess(result)
    expect(server.requests()).toBe(before)
  },
})
