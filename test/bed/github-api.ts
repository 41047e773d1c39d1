// GitHub's deployments API as a real HTTP server: records, status history, pages, limits and faults on request.
import { type Answer, type ApiRequest, ApiServer } from './api-server.ts'
import { gitHubDescription } from './openapi/github-schema.ts'

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

export class GitHubApi extends ApiServer<Body> {
  readonly repository = 'octo-org/site'
  readonly token = 'ghs_bedToken0000000000000000000000000000'
  /** What that token may do with deployments. */
  permission: 'none' | 'read' | 'write' = 'write'
  /** Commits that the repository lacks. */
  readonly unknownCommits = new Set<string>()
  readonly #deployments = new Map<number, Deployment>()
  #lastId = 1_000

  /** For the harness: a job of that repository with that token. */
  get github(): { api_url: string; repository: string; token: string } {
    return { api_url: this.url, repository: this.repository, token: this.token }
  }

  override reset(): void {
    super.reset()
    this.#deployments.clear()
    this.unknownCommits.clear()
    this.permission = 'write'
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

  protected override answer({
    method,
    url,
    headers: { authorization = '' },
    body,
  }: ApiRequest<Body>): Answer {
    if (!/^(token|Bearer) /.test(authorization) || authorization.split(' ')[1] !== this.token) {
      return { status: 401, body: { message: 'Bad credentials', documentation_url: DOCS, status: '401' } }
    }
    const prefix = `/repos/${this.repository}`
    const path = url.pathname.startsWith(`${prefix}/`) ? url.pathname.slice(prefix.length) : ''
    const route = ROUTES.find(([pattern]) => pattern.test(path))
    if (route === undefined) return notFound()
    const [pattern, template] = route
    const wrong = gitHubDescription.requestErrors(template, method.toLowerCase(), url.searchParams, body)
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
      ...gitHubDescription
        .responseErrors(template, method.toLowerCase(), answer.status, answer.body)
        .map((error) => `${method} ${template}: ${error}`),
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
