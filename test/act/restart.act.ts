import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ConsulBed, startConsulBed } from '../actions/consul-bed.ts'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { startLoad } from '../bed/load.ts'
import { readmeCaller } from '../workflows/readme.ts'
import { Caller, expectFailed, expectOk } from './caller.ts'
import { recordsOf } from './records.ts'

let api: GitHubApi
let bed: ConsulBed
let caller: Caller

beforeAll(async () => {
  api = await startGitHubApi()
  bed = await startConsulBed()
  const { sshd } = bed
  caller = new Caller(api, { DEPLOY_KEY: sshd.clientKey.privateKey }, { KNOWN_HOSTS: sshd.knownHostsLines })
})
afterAll(async () => {
  caller?.remove()
  await Promise.all([api?.stop(), bed?.stop()])
})

/** Each node is restarted with the release as its version. */
function commit(message: string): string {
  const { sshd, apps, consul, upsync } = bed
  const cases = apps.map(
    ({ port, folder, commands }) =>
      `${port}) printf %s "$EVENKEEL_RELEASE" >${folder}/version; ${commands.restart};;`,
  )
  const common: [string, string][] = [
    ['http://consul.internal:8500', consul.url],
    ['user: deploy', `user: ${sshd.user}\n      port: ${sshd.port}`],
    ['http://lb1.internal/upstream_list?app', upsync.statusUrl],
  ]
  const restart = (from: string): [string, string] => [
    `restart: ${from}`,
    `restart: ${JSON.stringify(`case $EVENKEEL_PORT in ${cases.join(' ')} esac`)}`,
  ]
  return caller.commit(message, {
    '.github/workflows/restart.yml': readmeCaller('rolling-restart', [
      ...common,
      restart('sudo systemctl restart app'),
      ['/ping', '/ping\n      health-timeout: 5s'],
    ]),
    '.github/workflows/rollback.yml': readmeCaller('rollback', [
      ...common,
      restart('ln -sfn releases/$EVENKEEL_RELEASE /srv/nodes/current && sudo systemctl restart app'),
    ]),
  })
}

const versions = async () =>
  new Set(
    await Promise.all(bed.apps.map(async ({ url }) => (await fetch(`${url}/ping`)).headers.get('x-version'))),
  )
const releases = () => api.deployments.map(({ payload }) => (payload as { release: string }).release)

test('restarts node by node under load, leaves a broken node out, and goes back by hand', async () => {
  const shas = [commit('one').slice(0, 7)]
  const load = await startLoad({ url: bed.upsync.url, rate: 500 })
  expectOk(await caller.run('restart'))
  expect(await versions()).toEqual(new Set([releases()[0]]))
  shas.push(commit('two').slice(0, 7))
  expectOk(await caller.run('restart'))
  expect(await versions()).toEqual(new Set([releases()[1]]))

  expectOk(await caller.run('rollback', { inputs: { what: 'restart', environment: 'nodes' } }))
  expect(await versions()).toEqual(new Set([releases()[0]]))

  shas.push(commit('three').slice(0, 7))
  bed.apps[0]?.setBroken(true)
  expectFailed(await caller.run('restart'))
  const { failed, byReason, sent } = await load.stop()
  expect({ failed, byReason }).toEqual({ failed: 0, byReason: {} })
  expect(sent).toBeGreaterThan(500)
  expect(await bed.stored(bed.apps[0]!)).toContain('"down":1')
  expect(recordsOf(api)).toEqual([
    `consul ${shas[0]} in_progress success`,
    `consul ${shas[1]} in_progress success`,
    `consul ${shas[0]} in_progress success`,
    `consul ${shas[2]} in_progress failure`,
  ])
})
