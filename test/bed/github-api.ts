// GitHub's deployments API as a real HTTP server: records, status history, pages, limits and faults on request.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { requestErrors, responseErrors } from './openapi/github-schema.ts'

export interface Deployment {
  id: number
  sha: string
  task: string
  environment: string
  payload: unknown
  description: string | null
  statuses: Status[]
}

export interface Status {
  id: number
  state: string
  log_url: string
  environment_url: string
}

/** The answer to the next requests that match, instead of the real one. */
export interface Fault {
  method: 'GET' | 'POST'
  path: RegExp
  /** 0: the connection is cut. */
  status: number
  headers?: Record<string, string>
  body?: unknown
  /** How many requests; default 1. */
  times?: number
  /** True: the request is carried out, its answer is lost. */
  after?: boolean
}

export interface SeenRequest {
  method: string
  path: string
  query: Record<string, string>
  body: Body
}

/** The fields of those requests that have a body, all of which the description has proven. */
export interface Body {
  ref: string
  task?: string
  environment?: string
  payload?: Record<string, unknown>
  description?: string
  state: string
  log_url?: string
  environment_url?: string
}

const REPOSITORY = '/repos/{owner}/{repo}'
const ROUTES: readonly [RegExp, string][] = [
  [/^\/deployments$/, `${REPOSITORY}/deployments`],
  [/^\/deployments\/(\d+)$/, `${REPOSITORY}/deployments/{deployment_id}`],
  [/^\/deployments\/(\d+)\/statuses$/, `${REPOSITORY}/deployments/{deployment_id}/statuses`],
]

interface Answer {
  status: number
  body: unknown
  headers?: Record<string, string>
}

export class GitHubApi {
  readonly repository = 'octo-org/site'
  readonly token = 'ghs_bedToken0000000000000000000000000000'
  /** What that token may do with deployments. */
  permission: 'none' | 'read' | 'write' = 'write'
  /** Commits that the repository lacks. */
  readonly unknownCommits = new Set<string>()
  readonly requests: SeenRequest[] = []
  /** Where a request or an answer of this server broke GitHub's description. */
  readonly violations: string[] = []
  readonly #deployments = new Map<number, Deployment>()
  #faults: Fault[] = []
  #lastId = 1_000
  readonly #server = createServer((request, response) => void this.#serve(request, response))

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  /** What GITHUB_API_URL is to be. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** For the harness: a job of that repository with that token. */
  get github(): { api_url: string; repository: string; token: string } {
    return { api_url: this.url, repository: this.repository, token: this.token }
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  /** Forgets everything but the address. */
  reset(): void {
    this.#deployments.clear()
    this.#faults = []
    this.requests.length = 0
    this.violations.length = 0
    this.unknownCommits.clear()
    this.permission = 'write'
  }

  fail(fault: Fault): void {
    this.#faults.push({ times: 1, ...fault })
  }

  /** Puts a deployment there as anybody with `deployments: write` could, with these states, oldest first. */
  seed(deployment: Partial<Omit<Deployment, 'statuses'>>, ...states: string[]): Deployment {
    const made: Deployment = {
      id: deployment.id ?? ++this.#lastId,
      sha: 'a'.repeat(40),
      task: 'deploy',
      environment: 'production',
      payload: {},
      description: null,
      ...deployment,
      statuses: [],
    }
    this.#deployments.set(made.id, made)
    for (const state of states) this.#addStatus(made, { state })
    return made
  }

  /** All deployments, oldest first. */
  get deployments(): Deployment[] {
    return [...this.#deployments.values()]
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url)
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    const body = text === '' ? undefined : JSON.parse(text)
    const method = request.method ?? ''
    const query = Object.fromEntries(url.searchParams)
    this.requests.push({ method, path: url.pathname, query, body })
    const fault = this.#faultFor(method, url.pathname)
    const real = () => this.#answer(method, url, body, request.headers.authorization ?? '')
    if (fault?.after) real()
    if (fault?.status === 0) {
      request.socket.destroy()
      return
    }
    const answer = fault ? { body: { message: 'Server Error' }, ...fault } : real()
    response.writeHead(answer.status, {
      'content-type': 'application/json; charset=utf-8',
      ...answer.headers,
    })
    response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
  }

  #faultFor(method: string, path: string): Fault | undefined {
    const fault = this.#faults.find((one) => one.method === method && one.path.test(path) && one.times! > 0)
    if (fault) fault.times! -= 1
    return fault
  }

  #answer(method: string, url: URL, body: Body, authorization: string): Answer {
    if (!/^(token|Bearer) /.test(authorization) || authorization.split(' ')[1] !== this.token) {
      return { status: 401, body: { message: 'Bad credentials', documentation_url: DOCS, status: '401' } }
    }
    const prefix = `/repos/${this.repository}`
    const path = url.pathname.startsWith(`${prefix}/`) ? url.pathname.slice(prefix.length) : ''
    const route = ROUTES.find(([pattern]) => pattern.test(path))
    if (route === undefined) return notFound()
    const [pattern, template] = route
    const wrong = requestErrors(template, method.toLowerCase(), url.searchParams, body)
    if (wrong.length > 0) {
      this.violations.push(...wrong.map((error) => `${method} ${template}: ${error}`))
      return { status: 422, body: { message: 'Validation Failed', documentation_url: DOCS, errors: [] } }
    }
    if (this.permission === 'none' || (method === 'POST' && this.permission === 'read')) {
      const message = 'Resource not accessible by integration'
      return { status: 403, body: { message, documentation_url: DOCS, status: '403' } }
    }
    const answer = this.#carryOut(method, template, Number(pattern.exec(path)?.[1]), url, body)
    this.violations.push(
      ...responseErrors(template, method.toLowerCase(), answer.status, answer.body).map(
        (error) => `${method} ${template}: ${error}`,
      ),
    )
    return answer
  }

  #carryOut(method: string, template: string, id: number, url: URL, body: Body): Answer {
    if (template.endsWith('/deployments')) {
      return method === 'POST' ? this.#create(body) : this.#list(url)
    }
    const deployment = this.#deployments.get(id)
    if (deployment === undefined) return notFound()
    if (!template.endsWith('/statuses')) return { status: 200, body: this.#show(deployment) }
    if (method === 'GET') {
      const newestFirst = deployment.statuses.toReversed()
      return this.#page(
        url,
        newestFirst.map((status) => this.#showStatus(deployment, status)),
      )
    }
    if (String(body.description ?? '').length > 140) return invalid('description is too long')
    return { status: 201, body: this.#showStatus(deployment, this.#addStatus(deployment, body)) }
  }

  #create(body: Body): Answer {
    if (!/^[0-9a-f]{40}$/.test(body.ref) || this.unknownCommits.has(body.ref)) {
      return invalid(`No ref found for: ${body.ref}`)
    }
    const { ref: sha, environment = 'production', task = 'deploy', payload = {}, description = null } = body
    return { status: 201, body: this.#show(this.seed({ sha, environment, task, payload, description })) }
  }

  #list(url: URL): Answer {
    const wanted = ['sha', 'task', 'environment'] as const
    const found = this.deployments
      .filter((one) => wanted.every((key) => [null, one[key]].includes(url.searchParams.get(key))))
      .sort((a, b) => b.id - a.id)
    return this.#page(
      url,
      found.map((one) => this.#show(one)),
    )
  }

  #page(url: URL, items: unknown[]): Answer {
    const size = Math.min(Number(url.searchParams.get('per_page') ?? 30), 100)
    const page = Number(url.searchParams.get('page') ?? 1)
    const last = Math.max(1, Math.ceil(items.length / size))
    const link = (to: number, rel: string) => {
      const target = new URL(url)
      target.searchParams.set('page', String(to))
      return `<${target}>; rel="${rel}"`
    }
    const links = [
      ...(page > 1 ? [link(page - 1, 'prev'), link(1, 'first')] : []),
      ...(page < last ? [link(page + 1, 'next'), link(last, 'last')] : []),
    ]
    return {
      status: 200,
      body: items.slice((page - 1) * size, page * size),
      headers: links.length > 0 ? { link: links.join(', ') } : {},
    }
  }

  #addStatus(deployment: Deployment, body: Pick<Body, 'state' | 'log_url' | 'environment_url'>): Status {
    const { state, log_url = '', environment_url = '' } = body
    const status = { id: ++this.#lastId, state, log_url, environment_url }
    deployment.statuses.push(status)
    // GitHub's auto_inactive: earlier ones of the environment that read `success`, unless it is a production one.
    if (state === 'success' && deployment.environment !== 'production') {
      for (const other of this.deployments) {
        const earlier = other.id < deployment.id && other.environment === deployment.environment
        if (earlier && other.statuses.at(-1)?.state === 'success')
          this.#addStatus(other, { state: 'inactive' })
      }
    }
    return status
  }

  #show(deployment: Deployment) {
    const { statuses: _, ...fields } = deployment
    const url = `${this.url}/repos/${this.repository}/deployments/${deployment.id}`
    return {
      ...fields,
      ...this.#surroundings(deployment.id),
      url,
      ref: deployment.sha,
      original_environment: deployment.environment,
      statuses_url: `${url}/statuses`,
      transient_environment: false,
      production_environment: deployment.environment === 'production',
    }
  }

  #showStatus({ id, environment }: Deployment, status: Status) {
    const deployment_url = `${this.url}/repos/${this.repository}/deployments/${id}`
    return {
      ...status,
      ...this.#surroundings(status.id),
      url: `${deployment_url}/statuses/${status.id}`,
      deployment_url,
      environment,
      description: '',
      target_url: status.log_url,
    }
  }

  #surroundings(id: number) {
    return {
      node_id: Buffer.from(`node${id}`).toString('base64'),
      creator: null,
      created_at: '2026-11-01T10:00:00Z',
      updated_at: '2026-11-01T10:00:00Z',
      repository_url: `${this.url}/repos/${this.repository}`,
    }
  }
}

const DOCS = 'https://docs.github.com/rest/deployments'

const notFound = (): Answer => ({
  status: 404,
  body: { message: 'Not Found', documentation_url: DOCS, status: '404' },
})

const invalid = (message: string): Answer => ({
  status: 422,
  body: { message, documentation_url: DOCS, errors: [] },
})

export const startGitHubApi = (): Promise<GitHubApi> => new GitHubApi().start()
