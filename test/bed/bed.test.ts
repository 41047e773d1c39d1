import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { type App, startApp } from './app.ts'
import { type Consul, startConsul, startConsulCluster } from './consul.ts'
import { startKnot } from './knot.ts'
import { startLoad } from './load.ts'
import { startNamed } from './named.ts'
import { startNginx } from './nginx.ts'
import { findProgram } from './packages.ts'
import { freePort, freePorts } from './ports.ts'
import { startPowerDns } from './powerdns.ts'
import { until } from './process.ts'
import { makeClientKey, type Sshd, startSshd } from './sshd.ts'
import { startUnbound } from './unbound.ts'
import { startUpsync, type Upsync } from './upsync.ts'
import { peersOf } from './upsync-format.ts'
import { makeTsigKey, replaceByUpdate } from './zone.ts'

const run = promisify(execFile)

test('a real ssh client logs in, with the home folder of the bed, and finds nothing left afterwards', async () => {
  const sshd = await startSshd({ hostKeyTypes: ['ed25519', 'rsa', 'ecdsa'] })
  onTestFinished(() => sshd.stop())
  const said = await ssh(
    sshd,
    'printf "%s\\n" "$HOME"; setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!',
  )
  const [home, sleeper] = said.trim().split('\n')
  expect(home).toBe(sshd.home)
  expect(existsSync(`/proc/${sleeper}`)).toBe(true)
  await sshd.stop()
  expect(existsSync(`/proc/${sleeper}`)).toBe(false)
  expect(existsSync(sshd.home)).toBe(false)
})

test('an sshd at another address takes the configuration and the keys it is given', async () => {
  const first = await startSshd({ host: '127.0.0.2' })
  onTestFinished(() => first.stop())
  await first.stop()
  const { host, port, hostKeys } = first
  const sshd = await startSshd({ host, port, hostKeys, config: ['ForceCommand echo forced'] })
  onTestFinished(() => sshd.stop())
  expect(sshd.knownHostsLines).toBe(first.knownHostsLines)
  expect(await ssh(sshd, 'echo asked')).toBe('forced\n')
  const stranger = makeClientKey('rsa')
  sshd.addClientKey(stranger.publicKey, 'command="echo other"')
  sshd.removeClientKey(sshd.clientKey.publicKey)
  await expect(ssh(sshd, 'true')).rejects.toThrow(/Permission denied/)
  expect(stranger.privateKey).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----/)
})

test('nginx serves, and serves the new configuration when reload has resolved', async () => {
  const page = (text: string, port: number) => `server { listen 127.0.0.1:${port}; return 200 '${text}'; }`
  const nginx = await startNginx({ http: (port) => page('one', port) })
  onTestFinished(() => nginx.stop())
  const served = async () => await (await fetch(nginx.url, { headers: { connection: 'close' } })).text()
  expect(await served()).toBe('one')
  for (const text of ['two', 'three', 'four']) {
    await nginx.reload(page(text, nginx.port))
    expect(await served()).toBe(text)
  }
})

test('Consul keeps what is put into it', async () => {
  const consul = await startConsul()
  onTestFinished(() => consul.stop())
  await consul.put('upstreams/app/127.0.0.1:9001', '{"down":1}')
  expect((await consul.get('upstreams/app/127.0.0.1:9001'))?.value).toBe('{"down":1}')
  expect([...(await consul.list('upstreams/')).keys()]).toEqual(['upstreams/app/127.0.0.1:9001'])
})

test('a Consul with access control denies what a token does not allow', async () => {
  const consul = await startConsul({ acl: true })
  onTestFinished(() => consul.stop())
  const token = await consul.tokenFor('key_prefix "upstreams/" { policy = "write" }')
  const put = async (key: string) =>
    (
      await fetch(`${consul.url}/v1/kv/${key}`, {
        method: 'PUT',
        body: 'x',
        headers: { 'X-Consul-Token': token },
      })
    ).status
  expect(await put('upstreams/app/a')).toBe(200)
  expect(await put('elsewhere')).toBe(403)
})

test('three Consul servers share one store under one leader', async () => {
  const cluster = await startConsulCluster()
  onTestFinished(() => cluster.stop())
  await cluster.servers[0]!.put('a', 'b')
  expect(await Promise.all(cluster.servers.map(async (server) => (await server.get('a'))?.value))).toEqual([
    'b',
    'b',
    'b',
  ])
  expect([0, 1, 2]).toContain(await cluster.leader())
})

test('a node restarts by a command over SSH and then serves its next version', async () => {
  const sshd = await startSshd()
  onTestFinished(() => sshd.stop())
  const app = await startApp({ name: 'one', version: '1' })
  onTestFinished(() => app.stop())
  const ping = async () => await fetch(`${app.url}/ping`, { headers: { connection: 'close' } })
  const before = app.pid()
  app.setVersion('2')
  await ssh(sshd, app.commands.restart)
  await until('version 2 serves', async () => (await (await ping()).text()) === 'pong from one version 2\n')
  expect(app.pid()).not.toBe(before)
  app.setHealthy(false)
  expect((await ping()).status).toBe(503)
  app.setBroken(true)
  await ssh(sshd, app.commands.restart)
  await expect(ping()).rejects.toThrow()
  expect(app.pid()).toBeUndefined()
})

test('both workers follow a drain, and none of the requests under load fails', async () => {
  const { consul, apps, upsync } = await startPool()
  const load = await startLoad({ url: upsync.url, rate: 500 })
  onTestFinished(() => load.stop().then(() => {}))
  const key = (app: App) => `upstreams/app/${app.address}`
  const down = () => upsync.workers.map((worker) => worker.peers().map((peer) => peer.down))
  expect(down()).toEqual([
    [false, false],
    [false, false],
  ])
  await consul.put(key(apps[0]!), '{"weight":1,"down":1}')
  await until('both workers have drained it', () => down().every((peers) => peers[0] && !peers[1]))
  const drainedAt = await load.report()
  await load.more(200)
  const during = await load.report()
  expect(during.byNode['node-1']! - drainedAt.byNode['node-1']!).toBeLessThanOrEqual(drainedAt.inFlight)
  await consul.put(key(apps[0]!), '{"weight":1,"down":0}')
  await until('both workers have it back', () => down().every((peers) => !peers[0]))
  await load.more(200)
  const report = await load.stop()
  expect(report.byReason).toEqual({})
  expect(report).toMatchObject({ failed: 0, ok: report.sent })
  expect(report.byNode['node-1']).toBeGreaterThan(during.byNode['node-1']!)
  expect(report.series.reduce((sum, bucket) => sum + bucket.sent, 0)).toBe(report.sent)
})

test('a frozen worker keeps on sending to a drained node, and its status page says so', async () => {
  const { consul, apps, upsync } = await startPool()
  upsync.workers[1]!.freeze()
  await consul.put(`upstreams/app/${apps[0]!.address}`, '{"down":1}')
  await until('the other worker has drained it', () => upsync.workers[0]!.peers()[0]!.down)
  const pages = new Set<string>()
  await until('pages of both workers are seen', async () => {
    pages.add(await (await fetch(upsync.statusUrl, { headers: { connection: 'close' } })).text())
    return pages.size === 2
  })
  const line = `server ${apps[0]!.address} weight=1 max_fails=2 fail_timeout=10s`
  const texts = [...pages].sort()
  expect(texts.every((text) => text.startsWith('Upstream name: app; Backend server count: 2\n'))).toBe(true)
  expect(texts.map((text) => text.includes(`        ${line} down;\n`)).sort()).toEqual([false, true])
  expect(texts.map((text) => text.includes(`        ${line};\n`)).sort()).toEqual([false, true])
  upsync.workers[1]!.thaw()
  await until('the frozen one has drained it too', () => upsync.workers[1]!.peers()[0]!.down)
})

test('a restart without a drain drops requests, and the load generator says which', async () => {
  const { apps, upsync } = await startPool()
  const load = await startLoad({ url: upsync.url, rate: 500, method: 'POST' })
  onTestFinished(() => load.stop().then(() => {}))
  apps[0]!.setStartDelay(300)
  await run('sh', ['-c', apps[0]!.commands.restart])
  await load.more(300)
  const report = await load.stop()
  expect(report.byReason['status 502']).toBeGreaterThan(0)
  expect(report.failed + report.ok).toBe(report.sent)
})

test('PowerDNS answers queries and takes changes through its API', async () => {
  const dns = await startPowerDns({
    zones: { 'example.test': [{ name: 'www', type: 'A', ttl: 60, values: ['127.0.0.2'] }] },
  })
  onTestFinished(() => dns.stop())
  expect(await dns.query('www.example.test')).toEqual([{ address: '127.0.0.2', ttl: 60 }])
  expect(await dns.query('missing.example.test')).toEqual([])
  const serial = await dns.serial('example.test')
  await dns.replace('example.test', { name: 'www', type: 'A', ttl: 5, values: ['127.0.0.3'] })
  expect(await dns.query('www.example.test')).toEqual([{ address: '127.0.0.3', ttl: 5 }])
  expect(await dns.recordSet('example.test', 'www', 'A')).toEqual({ ttl: 5, values: ['127.0.0.3'] })
  expect(await dns.serial('example.test')).toBeGreaterThan(serial)
})

test('BIND takes updates by its key alone, and a frozen secondary keeps what it had', async () => {
  const zone = 'example.test'
  const www = (value: string) => ({ name: 'www', type: 'A', ttl: 5, values: [value] })
  const key = makeTsigKey()
  const notify = [{ address: '127.0.0.5', port: await freePort('127.0.0.5') }]
  const primary = await startNamed({ zones: { [zone]: [www('127.0.0.2')] }, updates: [{ key }], notify })
  onTestFinished(() => primary.stop())
  const secondary = await startKnot({ secondaryOf: { [zone]: primary }, ...notify[0] })
  onTestFinished(() => secondary.stop())
  const stranger = { ...key, secret: makeTsigKey().secret }
  await expect(replaceByUpdate(primary, stranger, zone, www('127.0.0.6'))).rejects.toThrow(/BADSIG/)
  const at = async () => (await secondary.values(zone, 'www', 'A')).join()
  await replaceByUpdate(primary, key, zone, www('127.0.0.3'))
  await until('the secondary was told', async () => (await at()) === '127.0.0.3')
  await secondary.freeze(zone)
  await replaceByUpdate(primary, key, zone, www('127.0.0.4'))
  await until('the primary has it', async () => (await primary.serial(zone)) === 3)
  expect(await at()).toBe('127.0.0.3')
  await secondary.thaw(zone)
  await until('the secondary has caught up', async () => (await at()) === '127.0.0.4')
})

test('Unbound keeps an answer for its TTL, then asks anew', async () => {
  const set = (ttl: number, value: string) => ({ name: 'www', type: 'A', ttl, values: [value] })
  const dns = await startPowerDns({ zones: { 'example.test': [set(3, '127.0.0.2')] } })
  onTestFinished(() => dns.stop())
  const resolver = await startUnbound({ zones: { 'example.test': [dns] } })
  onTestFinished(() => resolver.stop())
  expect(await resolver.query('www.example.test')).toEqual([{ address: '127.0.0.2', ttl: 3 }])
  await dns.replace('example.test', set(600, '127.0.0.3'))
  const seen: string[] = []
  await until('it has the new address', async () => {
    const [answer] = await resolver.query('www.example.test')
    seen.push(answer?.address ?? '')
    return answer?.address === '127.0.0.3'
  })
  expect(seen[0]).toBe('127.0.0.2')
  await dns.replace('example.test', set(600, '127.0.0.4'))
  expect((await resolver.query('www.example.test'))[0]?.address).toBe('127.0.0.3')
})

test('two Unbounds on one port answer by turns', async () => {
  const servers = await Promise.all(
    ['127.0.0.2', '127.0.0.3'].map((value) =>
      startPowerDns({ zones: { 'example.test': [{ name: 'www', type: 'A', values: [value] }] } }),
    ),
  )
  onTestFinished(() => Promise.all(servers.map((dns) => dns.stop())).then(() => {}))
  const first = await startUnbound({ zones: { 'example.test': [servers[0]!] } })
  onTestFinished(() => first.stop())
  const second = await startUnbound({ zones: { 'example.test': [servers[1]!] }, port: first.port })
  onTestFinished(() => second.stop())
  const seen = new Set<string>()
  await until('both have answered', async () => {
    for (const { address } of await first.query('www.example.test')) seen.add(address)
    return seen.size === 2
  })
})

test('load follows a name from one address to another when its TTL has passed', async () => {
  const [port] = await freePorts(1)
  const apps = await Promise.all(
    ['127.0.0.2', '127.0.0.3'].map((host) => startApp({ name: host, host, port: port! })),
  )
  onTestFinished(() => Promise.all(apps.map((app) => app.stop())).then(() => {}))
  const dns = await startPowerDns({
    zones: { 'example.test': [{ name: 'www', type: 'A', ttl: 1, values: ['127.0.0.2'] }] },
  })
  onTestFinished(() => dns.stop())
  const load = await startLoad({
    url: `http://www.example.test:${port}/`,
    rate: 200,
    nameServer: `${dns.address}:${dns.port}`,
  })
  onTestFinished(() => load.stop().then(() => {}))
  await dns.replace('example.test', { name: 'www', type: 'A', ttl: 1, values: ['127.0.0.3'] })
  await until('the new address is used', async () => ((await load.report()).byNode['127.0.0.3'] ?? 0) > 50)
  const report = await load.stop()
  expect(report.failed).toBe(0)
  expect(Object.keys(report.byNode)).toEqual(['127.0.0.2', '127.0.0.3'])
})

test('servers, detached programs and folders are gone after the process that started them was killed', async () => {
  const child = fork(join(import.meta.dirname, 'killed-process.ts'), { execArgv: [], stdio: 'inherit' })
  const [{ pids, folders }] = (await once(child, 'message')) as [{ pids: number[]; folders: string[] }]
  expect([...pids.map((pid) => `/proc/${pid}`), ...folders].every((path) => existsSync(path))).toBe(true)
  child.kill('SIGKILL')
  await until(
    'all is gone',
    () => !pids.some((pid) => existsSync(`/proc/${pid}`)) && !folders.some(existsSync),
  )
})

test.each([
  ['{"down":1}', true],
  ['{"down":true}', true],
  ['{"down":"1"}', true],
  ['{"down":1.5}', true],
  ['{"down":01}', true],
  ['{"down":"true"}', false],
  ['{"down":2}', false],
  ['{"down":-1}', false],
  ['{"down":0.5}', false],
  ['{"down":null}', false],
  ['{"down":false}', false],
  ['{}', false],
  ['{"down":1', false],
  ['', false],
])('the stand-in for nginx-upsync reads %s as down: %s', (value, down) => {
  const row = { Key: 'upstreams/app/127.0.0.1:9001', Value: Buffer.from(value).toString('base64') }
  expect(peersOf('upstreams/app/', [row]).peers).toMatchObject([{ address: '127.0.0.1:9001', down }])
})

test('the stand-in for nginx-upsync skips what is no address', () => {
  const keys = ['localhost:80', '[::1]:80', 'folder/', '127.0.0.1:70000', '127.0.0.1:9001', '127.0.0.1:09001']
  const rows = keys.map((key) => ({ Key: `upstreams/app/${key}`, Value: null }))
  const { peers, complaints } = peersOf('upstreams/app/', rows)
  expect(peers.map((peer) => peer.address)).toEqual(['127.0.0.1:9001'])
  expect(complaints).toHaveLength(5)
})

async function startPool(): Promise<{ consul: Consul; apps: App[]; upsync: Upsync }> {
  const consul = await startConsul()
  onTestFinished(() => consul.stop())
  const ports = (await freePorts(2)).sort() // the order in which Consul lists them
  const apps = await Promise.all(ports.map((port, index) => startApp({ name: `node-${index + 1}`, port })))
  onTestFinished(() => Promise.all(apps.map((app) => app.stop())).then(() => {}))
  for (const app of apps) await consul.put(`upstreams/app/${app.address}`, '{"weight":1}')
  const upsync = await startUpsync({ consulUrl: consul.url, app: 'app' })
  onTestFinished(() => upsync.stop())
  return { consul, apps, upsync }
}

async function ssh(sshd: Sshd, command: string): Promise<string> {
  const known = join(sshd.home, 'known_hosts')
  writeFileSync(known, sshd.knownHostsLines)
  const { stdout } = await run(findProgram('ssh').path, [
    ...['-F', '/dev/null', '-i', sshd.clientKey.path, '-p', String(sshd.port)],
    ...['-o', `UserKnownHostsFile=${known}`, '-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=yes'],
    `${sshd.user}@${sshd.host}`,
    command,
  ])
  return stdout
}
