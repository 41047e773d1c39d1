import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { startLoad } from '../bed/load.ts'
import { type Machines, NEW, OLD, startMachines, ZONE } from '../bed/machines.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { readmeCaller } from '../workflows/readme.ts'
import { Caller, expectFailed, expectOk } from './caller.ts'
import { recordsOf } from './records.ts'

let api: GitHubApi
let sshd: Sshd
let machines: Machines
let caller: Caller
let scene: string

beforeAll(async () => {
  scene = mkdtempSync(join(tmpdir(), 'evenkeel-act-move-'))
  mkdirSync(join(scene, 'old'))
  writeFileSync(join(scene, 'old/index.html'), 'the app')
  writeFileSync(join(scene, 'old/data'), 'new rows')
  api = await startGitHubApi()
  sshd = await startSshd()
  machines = await startMachines((host) => {
    const root = host === OLD ? join(scene, 'old') : join(scene, 'app/public')
    return `root ${root}; access_log ${join(scene, `${host}.log`)}; add_header x-node "${host}";`
  })
  const { dns, port, dnsInputs } = machines
  const keys = { DEPLOY_KEY: sshd.clientKey.privateKey, DNS_TOKEN: dns.apiKey }
  caller = new Caller(api, keys, { KNOWN_HOSTS: sshd.knownHostsLines })
  const host = `${sshd.user}@${sshd.host}:${sshd.port}`
  const files = {
    Makefile:
      '.PHONY: build up\nbuild:\n\techo the app >built\nup:\n\tmkdir -p public && cp built public/index.html\n',
    'compare-databases': `#!/bin/sh\ncmp ${join(scene, 'old/data')} ${join(scene, 'app/data')}\n`,
    '.gitignore': 'built\npublic\ndata\n',
    '.github/workflows/migrate.yml': readmeCaller('migrate', [
      ['deploy@new.example.com', host],
      ['deploy@old.example.com', host],
      ['/srv/app', join(scene, 'app')],
      ['https://github.com/you/app.git', join(scene, 'origin.git')],
      ['http://127.0.0.1:8080/ping', `http://${NEW}:${port}/`],
      ['https://dev.example.com/', `http://${NEW}:${port}/`],
      ['https://dns.example.com', dns.apiUrl],
      ['zone: example.com', dnsInputs],
      ['192.0.2.1', OLD],
      ['192.0.2.2', NEW],
      ['/var/log/nginx/access.log -mmin -10', `${join(scene, `${OLD}.log`)} -newermt '-3 seconds'`],
      ['old-host:', 'old-idle-interval: 500ms\n      old-idle-timeout: 60s\n      old-host:'],
    ]),
  }
  for (const [name, text] of Object.entries(files)) caller.commit(name, { [name]: text })
  chmodSync(join(caller.folder, 'compare-databases'), 0o755)
  caller.commit('executable', {})
  execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', join(scene, 'origin.git')])
  caller.git('push', '--quiet', join(scene, 'origin.git'), 'HEAD:main')
})
afterAll(async () => {
  caller?.remove()
  await Promise.all([api?.stop(), sshd?.stop(), machines?.stop()])
  rmSync(scene, { recursive: true, force: true })
})

test('moves to a new machine without a failed request, past the gates', async () => {
  const { dns, port } = machines
  const load = await startLoad({
    url: ['www', 'api'].map((name) => `http://${name}.${ZONE}:${port}/`),
    rate: 500,
    nameServer: `${dns.address}:${dns.port}`,
    expectBody: 'the app',
  })
  expectFailed(await caller.run('migrate'), /cmp: .*data/)
  expect(await machines.addresses()).toEqual([OLD, OLD])
  expect(recordsOf(api)).toEqual([])

  writeFileSync(join(scene, 'app/data'), 'new rows')
  expectOk(await caller.run('migrate'))
  expect(await machines.addresses()).toEqual([NEW, NEW])
  await load.more(500)
  const { failed, byReason, byNode } = await load.stop()
  expect({ failed, byReason }).toEqual({ failed: 0, byReason: {} })
  expect(byNode[OLD]).toBeGreaterThan(100)
  expect(byNode[NEW]).toBeGreaterThan(100)
  expect(recordsOf(api).map((record) => record.replace(/ \w+/, ''))).toEqual(['dns success'])
})
