import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Machines, NEW, OLD, startMachines } from '../bed/machines.ts'
import { readmeCaller } from '../workflows/readme.ts'
import { Caller, expectFailed, expectOk } from './caller.ts'

interface Comment {
  id: number
  user: { login: string }
  body: string
}

/** The comments of pull request 7, two to a page, as everybody else has left them. */
let comments: Comment[]
const requests: string[] = []
let server: Server
let machines: Machines
let caller: Caller

const PREFIX = '/repos/octo-org/site/issues'

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://api')
    const { body = '' } = text === '' ? {} : (JSON.parse(text) as { body?: string })
    requests.push(`${request.method} ${pathname}`)
    const changed = comments.find(({ id }) => pathname === `${PREFIX}/comments/${id}`)
    if (request.method === 'GET' && pathname === `${PREFIX}/7/comments`) {
      const from = 2 * (Number(searchParams.get('page')) - 1)
      if (comments.length > from + 2) response.setHeader('link', '<next>; rel="next"')
      response.end(JSON.stringify(comments.slice(from, from + 2)))
    } else if (request.method === 'POST' && pathname === `${PREFIX}/7/comments`) {
      comments.push({ id: 100 + comments.length, user: { login: 'github-actions[bot]' }, body })
      response.end('{}')
    } else if (request.method === 'PATCH' && changed) {
      changed.body = body
      response.end('{}')
    } else {
      response.writeHead(404).end('{}')
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  machines = await startMachines((host) => `location / { return 200 "${host}"; }`)
  const api = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    repository: 'octo-org/site',
    token: 'ghs_planToken000000000000000000000000000',
  }
  caller = new Caller(api, { DNS_TOKEN: machines.dns.apiKey })
})
afterAll(async () => {
  caller?.remove()
  server?.close()
  await machines?.stop()
})

function commit(to: string): void {
  caller.commit(to, {
    '.github/workflows/plan.yml': readmeCaller('plan', [
      ['https://dns.example.com', machines.dns.apiUrl],
      ['zone: example.com', machines.dnsInputs],
      ['192.0.2.1', OLD],
      ['192.0.2.2', to],
    ]),
  })
}

const pullRequest = (repository: string) => ({
  pull_request: {
    number: 7,
    user: { login: 'octocat' },
    head: { sha: 'c'.repeat(40), ref: 'topic', repo: { full_name: repository } },
    base: { ref: 'main' },
  },
})
const plan = (repository = 'octo-org/site') =>
  caller.run('plan', { event: 'pull_request', payload: pullRequest(repository) })

test('the plan is in one comment, which is kept up to date and is nobody else’s', async () => {
  const stranger = { id: 1, user: { login: 'mallory' }, body: '<!-- evenkeel plan of dns for plan --> mine' }
  comments = [stranger, { id: 2, user: { login: 'octocat' }, body: 'Nice' }]
  const serial = await machines.dns.serial('example.test')
  commit(NEW)
  expectOk(await plan())
  expect(comments).toHaveLength(3)
  expect(comments[2]?.body).toMatch(/^<!-- evenkeel plan of dns for plan -->\n### Plan: dns\n/)
  expect(comments[2]?.body).toContain(NEW)

  commit(OLD)
  expectOk(await plan())
  expect(comments).toHaveLength(3)
  expect(comments[2]?.body).not.toContain(NEW)
  expect(comments[0]).toEqual(stranger)
  expect(await machines.dns.serial('example.test')).toBe(serial)
})

test('a pull request from a fork is passed over', async () => {
  comments = []
  requests.length = 0
  commit(NEW)
  const run = await plan('mallory/site')
  expect(run.log).not.toContain('Plan of the flip')
  expect(requests).toEqual([])
})

test('a plan that cannot be made fails and leaves the comment', async () => {
  comments = []
  commit('192.0.2.99')
  expectFailed(await plan(), /192\.0\.2\.99/)
  expect(comments).toEqual([])
})
