import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { readmeCaller } from '../workflows/readme.ts'
import { Caller, expectFailed, expectOk } from './caller.ts'
import { recordsOf } from './records.ts'

let api: GitHubApi
let sshd: Sshd
let nginx: Nginx
let caller: Caller
let scene: string
let target: string

beforeAll(async () => {
  scene = mkdtempSync(join(tmpdir(), 'evenkeel-act-site-'))
  target = join(scene, 'www')
  mkdirSync(target)
  api = await startGitHubApi()
  sshd = await startSshd()
  nginx = await startNginx({
    http: (port) => `server { listen 127.0.0.1:${port}; root ${target}/current; }`,
  })
  caller = new Caller(api, { DEPLOY_KEY: sshd.clientKey.privateKey }, { KNOWN_HOSTS: sshd.knownHostsLines })
})
afterAll(async () => {
  caller?.remove()
  await Promise.all([api?.stop(), nginx?.stop(), sshd?.stop()])
  rmSync(scene, { recursive: true, force: true })
})

const host = () => `${sshd.user}@${sshd.host}:${sshd.port}`
const page = async () => (await fetch(`${nginx.url}/`)).text()

/** A commit whose build makes that page; an empty one has no page at all. `more` are further inputs of the deploy. */
function site(text: string, by = caller, more: readonly string[] = []): string {
  const build =
    text === '' ? 'mkdir -p dist && touch dist/robots.txt' : `mkdir -p dist && echo ${text} > dist/index.html`
  return by.commit(text || 'broken', {
    'package.json': JSON.stringify({ name: 'site', version: '1.0.0', scripts: { build } }),
    'package-lock.json': JSON.stringify({ name: 'site', version: '1.0.0', lockfileVersion: 3, packages: {} }),
    '.github/workflows/deploy.yml': readmeCaller('deploy-static', [
      ['deploy@web1.example.com', host()],
      ['/srv/www/site', target],
      [
        'health-url: http://127.0.0.1/',
        inputLines(`health-url: ${nginx.url}/`, 'health-timeout: 3s', ...more),
      ],
    ]),
    '.github/workflows/rollback.yml': readmeCaller('rollback', [
      ['deploy@web1.example.com', host()],
      ['/srv/www/site', target],
    ]),
  })
}

const inputLines = (...lines: string[]) => lines.join('\n      ')

const deploy = () => caller.run('deploy', { event: 'push' })
const rollBack = (version: string) =>
  caller.run('rollback', { inputs: { what: 'static', environment: 'production', version } })

test('deploys, goes back by itself from a broken release, and is rolled back by hand', async () => {
  const commits: string[] = []
  for (const version of ['one', 'two', 'three']) {
    commits.push(site(version).slice(0, 7))
    expectOk(await deploy())
    expect(await page()).toContain(version)
  }
  const [one, two, three] = commits
  const releases = api.deployments.map(({ payload }) => (payload as { release: string }).release)
  expect(readlinkSync(join(target, 'current'))).toBe(`releases/${releases[2]}`)

  const broken = site('').slice(0, 7)
  expectFailed(await deploy(), /could not|not healthy|unhealthy/i)
  expect(await page()).toContain('three')

  const sent = site('unrelated')
  expect(sent).toMatch(/^[0-9a-f]{40}$/)
  expectOk(await rollBack(''))
  expect(await page()).toContain('two')
  expectOk(await rollBack(''))
  expect(await page()).toContain('one')
  expectOk(await rollBack(releases[2] ?? ''))
  expect(await page()).toContain('three')
  expectOk(await rollBack(releases[0] ?? ''))
  expect(await page()).toContain('one')

  expectFailed(await rollBack(''), /no version of kind static to go back to/)
  expectFailed(
    await rollBack('nowhere'),
    new RegExp(`there are, newest first: ${releases[0]}, ${releases[2]}, ${releases[1]}`),
  )
  rmSync(join(target, 'releases', releases[1] ?? ''), { recursive: true })
  expectFailed(await rollBack(releases[1] ?? ''), /there is no release/, /there are, newest first: /)
  expect(await page()).toContain('one')
  expect(recordsOf(api)).toEqual([
    `static ${one} in_progress success`,
    `static ${two} in_progress success`,
    `static ${three} in_progress success`,
    `static ${broken} in_progress failure`,
    `static ${two} in_progress success`,
    `static ${one} in_progress success`,
    `static ${three} in_progress success`,
    `static ${one} in_progress success`,
    `static ${two} in_progress failure`,
  ])
  expect(api.violations).toEqual([])
})

test('of two runs at once the second waits on the server, where act knows no concurrency', async () => {
  const other = new Caller(
    api,
    { DEPLOY_KEY: sshd.clientKey.privateKey },
    { KNOWN_HOSTS: sshd.knownHostsLines },
  )
  try {
    const gate = join(scene, 'gate')
    site('five', caller, [
      `before-activate: for i in $(seq 900); do [ -e ${gate} ] && exit; sleep 0.1; done; exit 1`,
    ])
    site('six', other, ['lock-wait: 90s'])
    let seen = { first: '', second: '' }
    const follow = (which: 'first' | 'second') => (log: string) => {
      seen = { ...seen, [which]: log }
    }
    const first = caller.run('deploy', { event: 'push', onOutput: follow('first') })
    await until('the first has staged', () => /is complete and verified/.test(seen.first), 60_000)
    const second = other.run('deploy', { event: 'push', onOutput: follow('second') })
    await until('the second waits', () => /waiting for the lock, held by http/.test(seen.second), 60_000)
    writeFileSync(gate, '')
    expectOk(await first)
    expectOk(await second)
    expect(await page()).toContain('six')
  } finally {
    other.remove()
  }
})

test('a missing secret is said before anything is done', async () => {
  site('four')
  const bare = new Caller(api, {}, { KNOWN_HOSTS: sshd.knownHostsLines })
  try {
    bare.commit('caller', {
      '.github/workflows/rollback.yml': readmeCaller('rollback', []),
    })
    const before = api.requests.length
    const run = await bare.run('rollback', { inputs: { what: 'static', environment: 'production' } })
    expectFailed(run, /Empty or not passed on: DEPLOY_KEY. Nothing was done/)
    const wrong = await bare.run('rollback', { inputs: { what: 'everything', environment: 'production' } })
    expectFailed(wrong, /`what` must be static, git, dns or restart/)
    expect(api.requests.length).toBe(before)
  } finally {
    bare.remove()
  }
})
