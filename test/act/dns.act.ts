import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { type Machines, NEW, OLD, startMachines } from '../bed/machines.ts'
import { readmeCaller } from '../workflows/readme.ts'
import { Caller, expectFailed, expectOk } from './caller.ts'
import { recordsOf } from './records.ts'

let api: GitHubApi
let machines: Machines
let caller: Caller

beforeAll(async () => {
  api = await startGitHubApi()
  machines = await startMachines((host) => `location / { return 200 "${host}"; }`)
  caller = new Caller(api, { DNS_TOKEN: machines.dns.apiKey })
  caller.commit('callers', {
    '.github/workflows/flip.yml': readmeCaller('dns-flip', [
      [
        'on: workflow_dispatch',
        'on:\n  workflow_dispatch:\n    inputs:\n      record:\n        required: true',
      ],
      ['https://dns.example.com', machines.dns.apiUrl],
      ['zone: example.com', machines.dnsInputs],
      ['www A 192.0.2.1 -> 192.0.2.2', '${{ inputs.record }}'],
      ['        api A 192.0.2.1 -> 192.0.2.2\n', ''],
    ]),
    '.github/workflows/rollback.yml': readmeCaller('rollback', [
      ['https://dns.example.com', machines.dns.apiUrl],
      ['zone: example.com', machines.dnsInputs],
    ]),
    '.github/workflows/plan.yml': readmeCaller('plan', [
      ['on: pull_request', 'on: workflow_dispatch'],
      ['https://dns.example.com', machines.dns.apiUrl],
      ['zone: example.com', machines.dnsInputs],
      ['192.0.2.1', OLD],
      ['192.0.2.2', NEW],
    ]),
  })
})
afterAll(async () => {
  caller?.remove()
  await Promise.all([api?.stop(), machines?.stop()])
})

const flip = (name: string) => caller.run('flip', { inputs: { record: `${name} A ${OLD} -> ${NEW}` } })
const rollBack = (version = '') =>
  caller.run('rollback', { inputs: { what: 'dns', environment: 'dns', version } })

test('flips are undone by hand, the newest first', async () => {
  const serial = await machines.dns.serial('example.test')
  const plan = await caller.run('plan')
  expectOk(plan)
  expect(plan.log).toMatch(/www/)
  expect(await machines.dns.serial('example.test')).toBe(serial)

  expectOk(await flip('www'))
  expectOk(await flip('api'))
  expect(await machines.addresses()).toEqual([NEW, NEW])
  expectOk(await rollBack())
  expect(await machines.addresses()).toEqual([NEW, OLD])
  expectOk(await rollBack())
  expect(await machines.addresses()).toEqual([OLD, OLD])
  expectFailed(await rollBack(), /no version of kind dns to go back to/)

  expectOk(await flip('www'))
  expectOk(await flip('api'))
  const { release } = api.deployments.at(-2)?.payload as { release: string }
  expectOk(await rollBack(release))
  expect(await machines.addresses()).toEqual([OLD, NEW])
  expect(recordsOf(api).map((record) => record.split(' ').slice(2).join(' '))).toEqual([
    'success failure',
    'success failure',
    'success failure',
    'success',
  ])
})
