import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { type Nginx, startNginx } from '../bed/nginx.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { readmeCaller } from '../workflows/readme.ts'
import { Caller, expectFailed, expectOk } from './caller.ts'
import { recordsOf } from './records.ts'

let api: GitHubApi
let sshd: Sshd
let nginx: Nginx
let caller: Caller
let scene: string
let path: string

beforeAll(async () => {
  scene = mkdtempSync(join(tmpdir(), 'evenkeel-act-app-'))
  path = join(scene, 'app')
  mkdirSync(path)
  api = await startGitHubApi()
  sshd = await startSshd()
  nginx = await startNginx({ http: (port) => `server { listen 127.0.0.1:${port}; root ${path}/public; }` })
  caller = new Caller(api, { DEPLOY_KEY: sshd.clientKey.privateKey }, { KNOWN_HOSTS: sshd.knownHostsLines })
  execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', join(scene, 'origin.git')])
  version('zero')
  execFileSync('git', ['clone', '--quiet', join(scene, 'origin.git'), path])
})
afterAll(async () => {
  caller?.remove()
  await Promise.all([api?.stop(), nginx?.stop(), sshd?.stop()])
  rmSync(scene, { recursive: true, force: true })
})

/** A commit of the app, pushed; `up` serves its version, or nothing any more. */
function version(text: string, up = 'mkdir -p public && cp built public/ping'): string {
  const host = `${sshd.user}@${sshd.host}:${sshd.port}`
  const sha = caller.commit(text, {
    version: `${text}\n`,
    Makefile: `.PHONY: build up\nbuild:\n\tcp version built\nup:\n\t${up}\n`,
    '.gitignore': 'built\npublic\n',
    '.github/workflows/deploy.yml': readmeCaller('deploy-git', [
      ['deploy@app1.example.com', host],
      ['/srv/app', path],
      ['http://127.0.0.1:8080/ping', `${nginx.url}/ping\n      health-timeout: 3s`],
    ]),
    '.github/workflows/rollback.yml': readmeCaller('rollback', [
      ['deploy@app1.example.com', host],
      ['/srv/app', path],
    ]),
  })
  caller.git('push', '--quiet', join(scene, 'origin.git'), 'HEAD:main')
  return sha
}

const page = async () => (await (await fetch(`${nginx.url}/ping`)).text()).trim()
const deploy = () => caller.run('deploy', { event: 'push' })
const rollBack = (to: string) =>
  caller.run('rollback', { inputs: { what: 'git', environment: 'app', version: to } })

test('deploys, goes back by itself from a broken commit, and is rolled back by hand', async () => {
  const commits: string[] = []
  for (const text of ['one', 'two', 'three']) {
    commits.push(version(text))
    expectOk(await deploy())
    expect(await page()).toBe(text)
  }
  const [one = '', two = '', three = ''] = commits

  const broken = version('broken', 'rm -f public/ping')
  expectFailed(await deploy(), /health/)
  expect(await page()).toBe('three')

  expectOk(await rollBack(''))
  expect(await page()).toBe('two')
  expectOk(await rollBack(''))
  expect(await page()).toBe('one')
  expectOk(await rollBack(three))
  expect(await page()).toBe('three')
  expectOk(await rollBack(one))
  expect(await page()).toBe('one')

  expectFailed(await rollBack(broken), new RegExp(`there are, newest first: ${one}, ${three}, ${two}`))
  expect(await page()).toBe('one')
  const short = (sha: string) => sha.slice(0, 7)
  expect(recordsOf(api)).toEqual([
    ...[one, two, three].map((sha) => `git ${short(sha)} in_progress success`),
    `git ${short(broken)} in_progress failure`,
    ...[two, one, three, one].map((sha) => `git ${short(sha)} in_progress success`),
  ])
  expect(api.violations).toEqual([])
})
