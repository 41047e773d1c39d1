import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type GitHubApi, startGitHubApi } from '../bed/github-api.ts'
import { runAction } from '../harness/action-run.ts'
import { errorsOf, expectFailure, expectSuccess } from '../harness/input-cases.ts'

const SHA = '0123456789abcdef0123456789abcdef01234567'

let api: GitHubApi
beforeAll(async () => {
  api = await startGitHubApi()
})
beforeEach(() => api.reset())
afterEach(() => expect(api.violations).toEqual([]))
afterAll(() => api?.stop())

const record = (inputs: Record<string, string>, node: '20' | '24' = '20') =>
  runAction({
    action: 'record-deployment',
    inputs: { environment: 'staging', kind: 'static', state: 'in_progress', ...inputs },
    github: { ...api.github, sha: SHA, run_id: '77' },
    node,
  })
const statesOf = (id: string | undefined) =>
  api.deployments.find((one) => one.id === Number(id))?.statuses.map(({ state }) => state)

describe.each(['20', '24'] as const)('on Node %s', (node) => {
  test('makes a record, then adds to it', async () => {
    const first = await record({ snapshot: '{ "a":\n [1] }' }, node)
    expectSuccess(first)
    const id = first.outputs['deployment-id'] ?? ''
    expect(api.deployments).toMatchObject([
      {
        id: Number(id),
        sha: SHA,
        environment: 'staging',
        payload: { evenkeel: 1, kind: 'static', release: '0123456-77', snapshot: '{"a":[1]}' },
      },
    ])
    const created = api.requests.find((one) => one.method === 'POST' && one.path.endsWith('/deployments'))
    expect(created?.body).toMatchObject({ ref: SHA, auto_merge: false, required_contexts: [] })

    const second = await record(
      { state: 'success', 'deployment-id': id, url: 'https://www.example.com' },
      node,
    )
    expectSuccess(second)
    expect(second.outputs['deployment-id']).toBe(id)
    expect(api.deployments).toHaveLength(1)
    const log_url = 'https://github.com/octo-org/site/actions/runs/77'
    expect(api.deployments[0]?.statuses).toMatchObject([
      { state: 'in_progress', log_url, environment_url: '' },
      { state: 'success', log_url, environment_url: 'https://www.example.com/' },
    ])
    expect(second.orphans).toEqual([])
  })
})

describe('a record that was there before', () => {
  const payload = { evenkeel: 1, kind: 'static', release: 'r1' }
  const given = { state: 'success' }

  test.each([
    [{ payload, environment: 'production' }, {}, 'of another environment'],
    [{ payload: { ...payload, kind: 'git' }, environment: 'staging' }, {}, 'of another kind'],
    [{ payload: {}, environment: 'staging' }, {}, 'a deployment that Evenkeel did not make'],
    [{ payload, environment: 'staging' }, { sha: SHA }, `its commit is ${'a'.repeat(40)}`],
    [{ payload, environment: 'staging' }, { release: 'r2' }, 'its release is r1'],
  ])('must fit: %j %j', async (seeded, inputs, message) => {
    const { id } = api.seed(seeded, 'in_progress')
    expectFailure(
      await record({ ...given, ...inputs, 'deployment-id': String(id) }),
      message,
      'nothing was recorded',
    )
    expect(statesOf(String(id))).toEqual(['in_progress'])
  })

  test('must be there', async () => {
    expectFailure(await record({ ...given, 'deployment-id': '9' }), /there is no deployment 9/)
  })

  test('shows nothing of what it holds when it is refused', async () => {
    const environment = 'staging\n::set-output name=x::pwned'
    const { id } = api.seed({ payload: { ...payload, release: 'a\n::error::pwned' }, environment })
    const result = await record({ ...given, 'deployment-id': String(id) })
    expectFailure(result, 'of another environment')
    expect(result.rawLog).not.toContain('pwned')
  })
})

describe('when GitHub does not do it', () => {
  test.each(['none', 'read'] as const)('names the permission that the job lacks: %s', async (permission) => {
    api.permission = permission
    const result = await record({})
    expectFailure(result, 'HTTP 403: Resource not accessible', '`permissions:` with `deployments: write`')
    expect(result.rawLog.replaceAll(/^::add-mask::.*$/gm, '')).not.toContain(api.token)
  })

  test('says that the token is not valid', async () => {
    const result = await record({ 'github-token': 'ghp_expired' })
    expectFailure(result, 'HTTP 401: Bad credentials', '`github-token` is not valid')
    expect(errorsOf(result)).not.toContain('ghp_expired')
  })

  test('says that the commit is not there', async () => {
    api.unknownCommits.add(SHA)
    expectFailure(await record({}), 'No ref found for', '`sha` must be the full id of a commit')
  })

  test('says that the repository is not there', async () => {
    const result = await runAction({
      action: 'record-deployment',
      inputs: { environment: 'staging', kind: 'static', state: 'success' },
      github: { ...api.github, repository: 'octo-org/other' },
    })
    expectFailure(result, 'octo-org/other', 'HTTP 404', 'the repository is not there for this token')
  })

  test('says that there is no way to it', async () => {
    const gone = await startGitHubApi()
    const { github } = gone
    await gone.stop()
    const inputs = { environment: 'staging', kind: 'static', state: 'success' }
    const result = await runAction({ action: 'record-deployment', inputs, github })
    expectFailure(result, 'no answer', 'ECONNREFUSED', 'look at the network')
  })

  test('waits out a rate limit as long as GitHub says', async () => {
    const limit = { status: 403, headers: { 'retry-after': '1' }, body: { message: 'secondary rate limit' } }
    api.fail({ ...limit, method: 'POST', path: /deployments$/ })
    api.fail({ ...limit, status: 429, method: 'POST', path: /statuses$/ })
    const result = await record({})
    expectSuccess(result)
    expect(result.log).toContain('HTTP 403: secondary rate limit; asking again in 1.0 s')
    expect(result.log).toContain('HTTP 429')
    expect(api.deployments).toHaveLength(1)
  })

  test('gives up where the wait would be long, and says until when', async () => {
    const headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '4102444800' }
    api.fail({
      method: 'POST',
      path: /deployments$/,
      status: 403,
      headers,
      body: { message: 'API rate limit exceeded' },
    })
    expectFailure(await record({}), 'rate limit is used up', /after 2100-01-01T00:00:0/)
  })

  test('does not repeat what may have been carried out', async () => {
    api.fail({ method: 'POST', path: /deployments$/, status: 502, after: true })
    expectFailure(await record({}), 'HTTP 502', 'it is not known whether GitHub carried it out')
    expect(api.requests).toHaveLength(1)
    expect(api.deployments).toMatchObject([{ statuses: [] }])
  })

  test('adds a status again where it is not known whether it was added', async () => {
    api.fail({ method: 'POST', path: /statuses$/, status: 500, times: 1 })
    api.fail({ method: 'POST', path: /statuses$/, status: 0, times: 1 })
    const result = await record({})
    expectSuccess(result)
    expect(statesOf(result.outputs['deployment-id'])).toEqual(['in_progress'])
  })

  test('gives out the id even where the status could not be added', async () => {
    api.fail({ method: 'POST', path: /statuses$/, status: 422, body: { message: 'no' } })
    const result = await record({})
    expectFailure(result, 'could not add a status to deployment')
    expect(result.outputs['deployment-id']).toBe(String(api.deployments[0]?.id))
  })

  test('prints nothing raw of an answer', async () => {
    const message = `first\n::error::pwned ##[add-mask]x ${'y'.repeat(10_000)}`
    api.fail({ method: 'POST', path: /deployments$/, status: 400, body: { message } })
    const result = await record({})
    expectFailure(result, 'HTTP 400: first')
    expect(result.rawLog).not.toMatch(/^::error::pwned/m)
    expect(result.rawLog).not.toContain('##[add-mask]')
    expect(errorsOf(result).length).toBeLessThan(1_000)
  })
})

test('bad inputs are reported together, before any request', async () => {
  const result = await record({
    'github-token': ' ',
    environment: '',
    kind: 'docker',
    state: 'done',
    'deployment-id': '1e3',
    sha: '0123456',
    release: '../x',
    snapshot: '{"a":"\\n"}',
    url: 'javascript:alert(1)',
    'dry-run': 'maybe',
    enviroment: 'x',
  })
  expectFailure(
    result,
    /`github-token` is required/,
    /`environment` is required/,
    /`kind` is 'docker': write one of static, git, consul, dns/,
    /`state` is 'done'/,
    /`deployment-id` is not the id/,
    /`sha` is not the full id/,
    /`release` may hold/,
    /`snapshot` holds control characters/,
    /`url` is not an http/,
    /`dry-run` is 'maybe'/,
    /`enviroment` is not an input of this action: did you mean `environment`/,
  )
  expect(api.requests).toEqual([])
})

test.each([
  [{ url: 'https://u:secret@www.example.com/' }, /`url` must not hold a user or password/],
  [{ 'deployment-id': '5', snapshot: '{}' }, /`snapshot` is kept by the call that makes the record/],
  [{ 'github-token': 'ghp_first\nghp_second' }, /`github-token` is not a token/],
  [{ environment: 'a\nb' }, /`environment` is not a name/],
])('is refused: %j', async (inputs: Record<string, string>, message) => {
  expectFailure(await record(inputs), message)
  expect(api.requests).toEqual([])
})

test('a cancel during a wait ends it, and nothing is recorded', async () => {
  api.fail({ method: 'POST', path: /deployments$/, status: 429, headers: { 'retry-after': '100' } })
  const result = await runAction({
    action: 'record-deployment',
    inputs: { environment: 'staging', kind: 'static', state: 'success' },
    github: api.github,
    during: async (run) => {
      await run.waitForLog(/asking again/)
      void run.cancel()
    },
  })
  expect(result.conclusion).toBe('cancelled')
  expect(result.steps[0]?.sent).toEqual(['SIGINT'])
  expect(api.deployments).toEqual([])
  expect(result.orphans).toEqual([])
})

test('killed between record and status, it leaves a record that is never chosen', async () => {
  api.fail({ method: 'POST', path: /statuses$/, status: 429, headers: { 'retry-after': '100' } })
  const result = await runAction({
    action: 'record-deployment',
    inputs: { environment: 'staging', kind: 'static', state: 'success' },
    github: api.github,
    during: async (run) => {
      await run.waitForLog(/asking again/)
      run.kill9()
    },
  })
  expect(result.conclusion).toBe('failure')
  const inputs = { environment: 'staging', kind: 'static', current: 'other' }
  expectFailure(
    await runAction({ action: 'last-good', inputs, github: api.github }),
    /no version of kind static/,
  )
})
