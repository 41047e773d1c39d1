import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { runAction } from '../harness/action-run.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'

const shaOf = (release: string) => release.charCodeAt(0).toString(16).padStart(40, '0')

let api: GitHubApi
beforeAll(async () => {
  api = await startGitHubApi()
})
beforeEach(() => api.reset())
afterEach(() => expect(api.violations).toEqual([]))
afterAll(() => api?.stop())

const run = (inputs: Record<string, string> = {}, node: '20' | '24' = '20') =>
  runAction({
    action: 'last-good',
    inputs: { environment: 'staging', kind: 'static', ...inputs },
    github: api.github,
    node,
  })

/** Records as record-deployment makes them. */
function seed(release: string, states = ['in_progress', 'success'], environment = 'staging') {
  const payload = { evenkeel: 1, kind: 'static', release }
  return api.seed({ sha: shaOf(release), environment, task: 'deploy:static', payload }, ...states)
}

describe.each(['20', '24'] as const)('on Node %s', (node) => {
  test('goes back a version with every rollback that is recorded, by record-deployment itself', async () => {
    const record = async (release: string, state = 'success') => {
      const inputs = { environment: 'staging', kind: 'static', release, sha: shaOf(release), state }
      const snapshot = JSON.stringify({ of: release })
      const github = api.github
      expectSuccess(
        await runAction({ action: 'record-deployment', inputs: { ...inputs, snapshot }, github, node }),
      )
    }
    for (const release of ['A', 'B', 'C']) await record(release)
    await record('D', 'failure')
    const first = await run({}, node)
    expectSuccess(first)
    expect(first.outputs).toEqual({
      release: 'B',
      sha: shaOf('B'),
      snapshot: '{"of":"B"}',
      'deployment-id': String(api.deployments[1]?.id),
    })
    expect(api.deployments[1]?.statuses.at(-1)?.state).toBe('inactive')
    await record('B')
    const second = await run({}, node)
    expect(second.outputs['release']).toBe('A')
    expect(second.log).toContain('left by a rollback: C')
    await record('A')
    expectFailure(
      await run({}, node),
      /no version of kind static to go back to/,
      /current: A/,
      /name the version/,
    )
  })
})

test('finds a version by its name, though it is current or was left; never a failed one', async () => {
  for (const release of ['A', 'B', 'C']) seed(release)
  seed('D', ['in_progress', 'failure'])
  seed('B')
  expect((await run({ version: 'C' })).outputs['release']).toBe('C')
  expect((await run({ version: 'B' })).outputs['deployment-id']).toBe(String(api.deployments[4]?.id))
  expectFailure(await run({ version: 'D' }), /no good deployment of 'D'/, /newest first: B, C, A/)
  expectFailure(await run({ version: 'E', current: 'A' }), /`current` says what not to go back to/)
})

test('other environments, kinds and deployments are none of its business', async () => {
  seed('A')
  api.seed({ environment: 'staging' }, 'success')
  api.seed({ environment: 'staging', task: 'deploy:static' }, 'success')
  seed('P', ['success'], 'production')
  const payload = { evenkeel: 1, kind: 'git', release: 'G' }
  api.seed({ environment: 'staging', task: 'deploy:git', payload }, 'success')
  seed('B')
  const result = await run()
  expect(result.outputs['release']).toBe('A')
  expect(result.annotations).toEqual([])
})

test('reads on over all pages of records and of a history', async () => {
  seed('A', ['success', ...Array<string>(120).fill('inactive')])
  for (let count = 0; count < 230; count++) seed(`F${count}`, ['failure'])
  seed('B')
  const result = await run({ current: 'B' })
  expectSuccess(result)
  expect(result.outputs['release']).toBe('A')
  const pages = api.requests
    .filter(({ path }) => path.endsWith('/deployments'))
    .map(({ query }) => query['page'])
  expect(pages).toEqual(['1', '2', '3'])
})

test('says so where it does not look at all of a very long history', async () => {
  for (let count = 0; count < 1_001; count++) seed(`A${count}`, ['success'], 'production')
  const result = await run({ environment: 'production' })
  expect(result.outputs['release']).toBe('A999')
  expect(result.log).toContain('only the newest 1000 deployments were looked at')
})

test('what was marked as failed after its success is not chosen', async () => {
  seed('A')
  seed('B', ['success', 'failure'])
  seed('C')
  expect((await run()).outputs['release']).toBe('A')
})

test('hostile records are passed over, and nothing of them is printed', async () => {
  seed('A')
  const evil = 'pwned\n::set-output name=release::pwned\n::error::pwned ${{ secrets.PWNED }}'
  const hostile = (payload: unknown, sha = 'f'.repeat(40)) =>
    api.seed({ environment: 'staging', task: 'deploy:static', payload, sha }, 'success')
  const fields = { evenkeel: 1, kind: 'static', release: 'B' }
  hostile({ ...fields, release: evil })
  hostile({ ...fields, snapshot: evil })
  hostile({ ...fields, snapshot: '{"pwned":"${{ secrets.PWNED }}"}' })
  hostile({ ...fields, snapshot: `["${'pwned'.repeat(20_000)}"]` })
  hostile(JSON.stringify({ ...fields, release: evil }))
  hostile({ ...fields, kind: evil })
  hostile(fields, `pwned${evil}`)
  hostile('pwned'.repeat(100_000))
  seed('C')
  const result = await run()
  expectSuccess(result)
  expect(result.outputs).toMatchObject({ release: 'A', sha: shaOf('A') })
  expect(result.log).toMatch(/passed over because what they hold is not valid: \d+ \(its .*\) and 2 more/)
  expect(result.rawLog + result.summary).not.toContain('pwned')
})

test('a permission to read is enough, none is explained', async () => {
  seed('A')
  seed('B')
  api.permission = 'read'
  expectSuccess(await run())
  api.permission = 'none'
  expectFailure(await run(), 'HTTP 403', '`permissions:` with `deployments: read`')
})

test('errors of the server and a broken connection are got over', async () => {
  seed('A')
  seed('B')
  api.fail({ method: 'GET', path: /deployments$/, status: 502, body: '<html>' })
  api.fail({ method: 'GET', path: /statuses$/, status: 0 })
  api.fail({ method: 'GET', path: /statuses$/, status: 403, headers: { 'retry-after': '1' } })
  const result = await run()
  expectSuccess(result)
  expect(result.outputs['release']).toBe('A')
})

test('gives up when the server stays broken', async () => {
  api.fail({ method: 'GET', path: /deployments$/, status: 503, times: 9, body: { message: 'No server' } })
  expectFailure(await run(), 'HTTP 503: No server', 'githubstatus.com')
  expect(api.requests).toHaveLength(4)
})

test('an answer that is not what the API gives is no defect of ours', async () => {
  api.fail({ method: 'GET', path: /deployments$/, status: 200, body: '"a proxy says hello"' })
  expectFailure(await run(), 'an answer that is not a JSON list')
})

test('bad inputs are reported together, before any request', async () => {
  const result = await run({ environment: '', kind: '', current: 'a b', 'github-token': '' })
  expectFailure(
    result,
    /`environment` is required/,
    /`kind` is ''/,
    /`current` is neither a release nor a full commit id/,
    /`github-token` is required/,
  )
  expect(api.requests).toEqual([])
})
