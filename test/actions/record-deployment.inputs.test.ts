import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { runAction } from '../harness/action-run.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'

let api: GitHubApi
beforeAll(async () => {
  api = await startGitHubApi()
})
beforeEach(() => api.reset())
afterAll(() => api?.stop())

/** Records with these inputs; the deployment that was made or added to. */
async function recorded(inputs: Record<string, string>) {
  const result = await run(inputs)
  expectSuccess(result)
  const found = api.deployments.find(({ id }) => String(id) === result.outputs['deployment-id'])
  return found ?? expect.fail(`no deployment of the id ${result.outputs['deployment-id']}`)
}

const run = (inputs: Record<string, string>) =>
  runAction({
    action: 'record-deployment',
    inputs: { environment: 'staging', kind: 'static', state: 'success', ...inputs },
    github: api.github,
  })

describeInputs('record-deployment', {
  'github-token': async () => {
    await recorded({})
    expectFailure(await run({ 'github-token': 'ghp_another' }), /HTTP 401/)
  },
  environment: async () => {
    expect(await recorded({ environment: 'Web servers/eu' })).toMatchObject({ environment: 'Web servers/eu' })
  },
  kind: async () => {
    expect(await recorded({ kind: 'dns' })).toMatchObject({ payload: { kind: 'dns' }, task: 'deploy:dns' })
  },
  state: async () => {
    expect((await recorded({ state: 'failure' })).statuses).toMatchObject([{ state: 'failure' }])
  },
  'deployment-id': async () => {
    const { id } = await recorded({})
    expect(await recorded({ 'deployment-id': String(id) })).toMatchObject({ id })
    expect(api.deployments).toHaveLength(1)
  },
  sha: async () => {
    const sha = 'B'.repeat(40)
    expect(await recorded({ sha })).toMatchObject({
      sha: sha.toLowerCase(),
      payload: { release: 'bbbbbbb-1234567890' },
    })
  },
  release: async () => {
    expect(await recorded({ release: 'v1.2.3_4' })).toMatchObject({ payload: { release: 'v1.2.3_4' } })
  },
  snapshot: async () => {
    expect(await recorded({ snapshot: '["2001:db8::1"]' })).toMatchObject({
      payload: { snapshot: '["2001:db8::1"]' },
    })
  },
  url: async () => {
    expect((await recorded({ url: 'https://www.example.com/x' })).statuses).toMatchObject([
      { environment_url: 'https://www.example.com/x' },
    ])
  },
  'dry-run': async () => {
    const result = await run({ 'dry-run': 'true', release: 'r9' })
    expectSuccess(result)
    expect(result.log).toMatch(/dry run: a new deployment .*release r9.* status success/)
    const { id } = api.seed({
      environment: 'staging',
      payload: { evenkeel: 1, kind: 'static', release: 'r1' },
    })
    expectSuccess(await run({ 'dry-run': 'true', 'deployment-id': String(id) }))
    expectFailure(
      await run({ 'dry-run': 'true', 'deployment-id': String(id), kind: 'git' }),
      /of another kind/,
    )
    expect(api.requests.map(({ method }) => method)).toEqual(['GET', 'GET', 'GET'])
  },
})
