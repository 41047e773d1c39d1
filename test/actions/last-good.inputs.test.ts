import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { runAction } from '../harness/action-run.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'

let api: GitHubApi
beforeAll(async () => {
  api = await startGitHubApi()
})
beforeEach(() => {
  api.reset()
  for (const kind of ['static', 'git']) {
    for (const environment of ['staging', 'production']) {
      for (const number of [1, 2, 3]) {
        const payload = { evenkeel: 1, kind, release: `${kind}-${environment}-${number}` }
        api.seed({ environment, task: `deploy:${kind}`, payload, sha: String(number).repeat(40) }, 'success')
      }
    }
  }
})
afterAll(() => api?.stop())

const run = (inputs: Record<string, string>) =>
  runAction({
    action: 'last-good',
    inputs: { environment: 'staging', kind: 'static', ...inputs },
    github: api.github,
  })

async function chosen(inputs: Record<string, string>) {
  const result = await run(inputs)
  expectSuccess(result)
  return result.outputs['release']
}

describeInputs('last-good', {
  'github-token': async () => {
    expectFailure(await run({ 'github-token': 'ghp_another' }), /HTTP 401/)
  },
  environment: async () => {
    expect(await chosen({ environment: 'production' })).toBe('static-production-2')
  },
  kind: async () => {
    expect(await chosen({ kind: 'git' })).toBe('git-staging-2')
  },
  current: async () => {
    expect(await chosen({})).toBe('static-staging-2')
    expect(await chosen({ current: 'static-staging-2' })).toBe('static-staging-1')
    expect(await chosen({ current: '2'.repeat(40) })).toBe('static-staging-1')
  },
  version: async () => {
    expect(await chosen({ version: 'static-staging-3' })).toBe('static-staging-3')
    expect(await chosen({ version: '1'.repeat(40) })).toBe('static-staging-1')
  },
})
