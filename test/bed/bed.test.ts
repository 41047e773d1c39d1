import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { startConsul, startConsulCluster } from './consul.ts'
import { startNginx } from './nginx.ts'
import { findProgram } from './packages.ts'
import { type Sshd, startSshd } from './sshd.ts'

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

test('nginx serves, and serves the new configuration when reload has resolved', async () => {
  const page = (text: string, port: number) => `server { listen 127.0.0.1:${port}; return 200 '${text}'; }`
  const nginx = await startNginx({ http: (port) => page('one', port) })
  onTestFinished(() => nginx.stop())
  expect(await (await fetch(nginx.url)).text()).toBe('one')
  for (const text of ['two', 'three', 'four']) {
    await nginx.reload(page(text, nginx.port))
    expect(await (await fetch(nginx.url, { headers: { connection: 'close' } })).text()).toBe(text)
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
