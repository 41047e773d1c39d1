import { expect, test } from 'vitest'
import { startGitHubApi } from './github-api.ts'
import { gitHubDescription } from './openapi/github-schema.ts'

const deployments = '/repos/{owner}/{repo}/deployments'
const statuses = `${deployments}/{deployment_id}/statuses`
const none = new URLSearchParams()

test.each([
  [deployments, 'post', none, { ref: 'main' }, []],
  [deployments, 'post', none, {}, ["body: value must have required property 'ref'"]],
  [deployments, 'post', none, { ref: 'main', auto_merge: 'no' }, ['body: /auto_merge must be boolean']],
  [
    deployments,
    'post',
    none,
    { ref: 'main', auto_marge: false },
    ['body: auto_marge is not in the description'],
  ],
  [deployments, 'get', new URLSearchParams('per_page=100&page=2&task=x'), undefined, []],
  [
    deployments,
    'get',
    new URLSearchParams('page=two'),
    undefined,
    ['query parameter page: value must be integer'],
  ],
  [
    deployments,
    'get',
    new URLSearchParams('pages=2'),
    undefined,
    ['query parameter pages is not in the description'],
  ],
  [deployments, 'get', none, {}, ['a body where none is expected']],
  [deployments, 'put', none, {}, [`put ${deployments} is not in the description`]],
  [statuses, 'post', none, { state: 'success' }, []],
  [statuses, 'post', none, { state: 'done' }, ['body: /state must be equal to one of the allowed values']],
] as const)("GitHub's description of %s %s %s %j finds %j", (template, method, query, body, errors) => {
  expect(gitHubDescription.requestErrors(template, method, query, body)).toEqual(errors)
})

test('answers are held against it too', () => {
  expect(gitHubDescription.responseErrors(deployments, 'get', 200, [])).toEqual([])
  expect(gitHubDescription.responseErrors(deployments, 'get', 200, [{ id: 1 }])).toContain(
    "answer 200: /0 must have required property 'sha'",
  )
  expect(gitHubDescription.responseErrors(deployments, 'get', 418, [])).toEqual([
    'status 418 is not in the description',
  ])
})

test('a request that breaks it is refused and noted', async () => {
  const api = await startGitHubApi()
  try {
    const answer = await fetch(`${api.url}/repos/${api.repository}/deployments`, {
      method: 'POST',
      headers: { authorization: `token ${api.token}` },
      body: '{"ref":7}',
    })
    expect(answer.status).toBe(422)
    expect(api.violations).toEqual([`POST ${deployments}: body: /ref must be string`])
    expect(api.deployments).toEqual([])
  } finally {
    await api.stop()
  }
})
