// The README's steps, each run as the runner would run it, with the README's servers replaced by those of the bed.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { startConsulBed } from '../actions/consul-bed.ts'
import { makeGitProject } from '../actions/git-project.ts'
import { NEW, OLD, startMachines, ZONE } from '../bed/machines.ts'
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { runAction } from '../harness/action-run.ts'
import { fill } from '../harness/expressions.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { readmeBlocks } from './readme.ts'

interface Step {
  uses?: string
  with?: Record<string, unknown>
}

let sshd: Sshd
let nginx: Nginx
let scene: string
let target: string

beforeAll(async () => {
  scene = mkdtempSync(join(tmpdir(), 'evenkeel-readme-'))
  target = join(scene, 'site')
  mkdirSync(target)
  sshd = await startSshd()
  nginx = await startNginx({
    http: (port) =>
      `server { listen 127.0.0.1:${port}; root ${target}/current; location /ping { return 200; } }`,
  })
})
afterAll(async () => {
  await Promise.all([nginx?.stop(), sshd?.stop()])
  rmSync(scene, { recursive: true, force: true })
})

/** The README's step of an action; each of the values must be there to be replaced, and nothing may be left to fill. */
function stepOf(action: string, values: readonly (readonly [string, string])[]): Record<string, string> {
  const found = readmeBlocks().flatMap((block) => {
    const parsed = parse(block) as Step[] | { jobs: Record<string, { steps?: Step[] }> }
    const steps = Array.isArray(parsed)
      ? parsed
      : Object.values(parsed.jobs).flatMap((job) => job.steps ?? [])
    return steps.filter(({ uses }) => uses === `evenkeel/evenkeel/actions/${action}@v1`)
  })
  expect(found).toHaveLength(1)
  const inputs = Object.entries(found[0]?.with ?? {})
  const text = inputs.map(([, value]) => String(value)).join('\n')
  for (const [from] of values) expect(text).toContain(from)
  const contexts = {
    secrets: { DEPLOY_KEY: sshd.clientKey.privateKey, CONSUL_TOKEN: '', DNS_TOKEN: 'to be given' },
    vars: { KNOWN_HOSTS: sshd.knownHostsLines },
    inputs: { to: 'previous' },
  }
  return Object.fromEntries(
    inputs.map(([name, value]) => {
      const replaced = values.reduce((all, [from, to]) => all.replaceAll(from, () => to), String(value))
      return [name, fill(replaced, contexts)]
    }),
  )
}

const login = (host: string) =>
  [`deploy@${host}.example.com`, `${sshd.user}@${sshd.host}:${sshd.port}`] as const

async function run(action: string, inputs: Record<string, string>, more: object = {}) {
  const result = await runAction({ action, inputs, deadline: 60_000, ...more })
  expectSuccess(result)
  return result
}

test('scp-static-upload and static-rollback', async () => {
  const workspace = join(scene, 'workspace')
  mkdirSync(join(workspace, 'dist'), { recursive: true })
  const values = [login('web1'), ['/srv/www/site', target]] as const
  for (const [index, page] of ['one', 'two'].entries()) {
    writeFileSync(join(workspace, 'dist/index.html'), page)
    const inputs = stepOf('scp-static-upload', [...values, ['http://127.0.0.1/', `${nginx.url}/`]])
    await run('scp-static-upload', inputs, { workspace, github: { run_id: String(index + 1) } })
    expect(readFileSync(join(target, 'current/index.html'), 'utf8')).toBe(page)
  }
  await run('static-rollback', stepOf('static-rollback', values))
  expect(readFileSync(join(target, 'current/index.html'), 'utf8')).toBe('one')
})

test('git-pull-build-up', async () => {
  const project = makeGitProject()
  try {
    const sha = project.commit('one')
    project.clone()
    const values = [login('app1'), ['/srv/app', project.path], ['http://127.0.0.1:8080', nginx.url]] as const
    await run('git-pull-build-up', stepOf('git-pull-build-up', values), { github: { sha } })
    expect(project.read('running')).toBe('one\n')
  } finally {
    project.remove()
  }
})

test('consul-restart', async () => {
  const bed = await startConsulBed()
  try {
    const before = bed.apps.map((app) => app.pid())
    const inputs = stepOf('consul-restart', [
      ['http://consul.internal:8500', bed.consul.url],
      ['http://lb1.internal/upstream_list?app', bed.upsync.statusUrl],
      ['sudo systemctl restart app', bed.inputs['restart'] ?? ''],
    ])
    const server = { 'known-hosts': bed.sshd.knownHostsLines, 'private-key': bed.sshd.clientKey.privateKey }
    const account = { user: bed.sshd.user, port: String(bed.sshd.port), 'drain-timeout': '500ms' }
    const result = await run('consul-restart', { ...inputs, ...server, ...account })
    expect(result.outputs['updated']?.split(',')).toHaveLength(3)
    for (const [index, app] of bed.apps.entries()) expect(app.pid()).not.toBe(before[index])
  } finally {
    await bed.stop()
  }
})

test('dns-flip', async () => {
  const machines = await startMachines((host) => `location / { return 200 "${host}"; }`)
  try {
    const { dns, port } = machines
    const inputs = stepOf('dns-flip', [
      ['https://dns.example.com', dns.apiUrl],
      ['example.com', ZONE],
      ['192.0.2.1', OLD],
      ['192.0.2.2', NEW],
      ['https://{name}/', `http://{name}:${port}/`],
    ])
    await run('dns-flip', { ...inputs, token: dns.apiKey, nameservers: `${dns.address}:${dns.port}` })
    expect(await machines.addresses()).toEqual([NEW, NEW])
  } finally {
    await machines.stop()
  }
})
