import { getOctokit } from '@actions/github'
import { type Context, throwIfCancelled } from '../../context.ts'
import { formatDuration } from '../../duration.ts'
import { describeError, Failure } from '../../failure.ts'
import type { GitHubContext } from '../github-context.ts'

export type Octokit = ReturnType<typeof getOctokit>

/** What every request of Octokit takes besides its own parameters. */
export interface RequestBasics {
  readonly owner: string
  readonly repo: string
  readonly request: { readonly signal: AbortSignal }
}

export interface CallOptions {
  /** What is done, to complete "could not ...". */
  readonly what: string
  /** The permission that it needs. */
  readonly permission: 'read' | 'write'
  /** True where doing it twice does no harm: only then is it repeated when it is not known whether it was done. */
  readonly repeatable: boolean
  /** What it means when GitHub does not find it. */
  readonly missing?: string
}

const REQUEST_TIMEOUT_MS = 30_000
const MAX_ATTEMPTS = 4
/** Longer than that a job should not stand still: the person decides. */
const MAX_PAUSE_MS = 180_000

/** GitHub's REST API for one repository: repeats what is safe to repeat, explains what went wrong. */
export class GitHubApi {
  readonly repository: string
  readonly #octokit: Octokit
  readonly #context: Context

  constructor(github: GitHubContext, token: string, context: Context) {
    if (!/^[\w.-]+\/[\w.-]+$/.test(github.repository)) {
      throw new Failure('the repository is not known', {
        hint: 'GITHUB_REPOSITORY must be set, as a runner sets it',
      })
    }
    const { log } = context
    this.repository = github.repository
    this.#context = context
    this.#octokit = getOctokit(token.trim(), {
      baseUrl: github.apiUrl.replace(/\/+$/, ''),
      log: { debug: log.debug, info: log.debug, warn: log.warn, error: log.warn },
    })
  }

  async call<T>(
    options: CallOptions,
    work: (octokit: Octokit, basics: RequestBasics) => Promise<T>,
  ): Promise<T> {
    const [owner = '', repo = ''] = this.repository.split('/')
    const { log, clock, signal } = this.#context
    for (let attempt = 1; ; attempt++) {
      throwIfCancelled(signal)
      try {
        const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
        return await work(this.#octokit, {
          owner,
          repo,
          request: { signal: AbortSignal.any([signal, timeout]) },
        })
      } catch (error) {
        throwIfCancelled(signal)
        const answer = readAnswer(error)
        if (answer === undefined) throw error
        const pause = pauseBefore(answer, attempt, options.repeatable, clock.now())
        if (pause === undefined || pause > MAX_PAUSE_MS || attempt === MAX_ATTEMPTS) {
          throw explain(answer, options, this.repository, clock.now() + (pause ?? 0))
        }
        log.info(`GitHub's API: ${answer.text}; asking again in ${formatDuration(pause)}`)
        await clock.sleep(pause, signal)
      }
    }
  }
}

/** An answer that was no success, or the lack of one (status 0). */
export interface BadAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | number | undefined>>
  /** One bounded line. */
  readonly text: string
}

/** Undefined for an error that is not of a request: a defect. Octokit gives a broken connection the status 500. */
function readAnswer(error: unknown): BadAnswer | undefined {
  if (!(error instanceof Error) || error.name !== 'HttpError') return undefined
  const { status, response } = error as Error & {
    status: number
    response?: { headers: BadAnswer['headers'] }
  }
  // GitHub's text ends in the address of a documentation page, which says nothing of this case.
  const message = error.message.replace(/ - https?:\/\/\S+$/, '')
  const line = (response === undefined ? describeError(error) : message)
    .replaceAll(/\p{Cc}+/gu, ' ')
    .slice(0, 300)
  return response === undefined
    ? { status: 0, headers: {}, text: `no answer: ${line}` }
    : { status, headers: response.headers, text: `HTTP ${status}: ${line}` }
}

/**
 * Milliseconds to wait before a request is repeated; undefined when it must not be. A request over a limit was not
 * carried out. The pauses: docs.github.com, "Rate limits for the REST API", "Exceeding the rate limit".
 */
export function pauseBefore(
  answer: BadAnswer,
  attempt: number,
  repeatable: boolean,
  now: number,
): number | undefined {
  if (isRateLimit(answer)) {
    const after = Number(answer.headers['retry-after'] ?? Number.NaN)
    if (after >= 0) return after * 1_000
    const reset = Number(answer.headers['x-ratelimit-reset'] ?? Number.NaN)
    if (isUsedUp(answer) && reset > 0) return Math.max(1_000, reset * 1_000 - now + 1_000)
    return 60_000 * 2 ** (attempt - 1)
  }
  const maybeDone = answer.status === 0 || answer.status >= 500
  return maybeDone && repeatable ? 500 * 2 ** (attempt - 1) : undefined
}

const isUsedUp = ({ headers }: BadAnswer) => String(headers['x-ratelimit-remaining']) === '0'

function isRateLimit(answer: BadAnswer): boolean {
  if (answer.status === 429) return true
  if (answer.status !== 403) return false
  return 'retry-after' in answer.headers || isUsedUp(answer) || /rate limit|abuse/i.test(answer.text)
}

function explain(answer: BadAnswer, options: CallOptions, repository: string, freeAt: number): Failure {
  const unknown = !options.repeatable && (answer.status === 0 || answer.status >= 500)
  return new Failure(`could not ${options.what} of ${repository}`, {
    seen: answer.text,
    state: unknown
      ? 'it is not known whether GitHub carried it out; if it did, the record has no status and is never chosen.'
      : undefined,
    hint: hintFor(answer, options, freeAt),
  })
}

function hintFor(answer: BadAnswer, { permission, missing }: CallOptions, freeAt: number): string {
  if (isRateLimit(answer)) {
    return `the token's rate limit is used up; run the job again after ${new Date(freeAt).toISOString()}`
  }
  const grant = `give the job \`permissions:\` with \`deployments: ${permission}\` (a \`permissions:\` block takes away all that it does not name, so repeat \`contents: read\`)`
  switch (answer.status) {
    case 401:
      return "`github-token` is not valid (any more): leave it out to use the job's own token, or renew it"
    case 403:
      return `${grant}; a run for a pull request from a fork never gets more than read`
    case 404:
      return `${missing ?? 'the repository is not there for this token'}; or the token may not see it: ${grant}`
    case 409:
      return 'the commit conflicts with the default branch or its checks failed; look at the commit on GitHub'
    case 422:
      return '`sha` must be the full id of a commit that this repository has: push it first; `environment` must be a name that GitHub takes'
    case 0:
      return 'look at the network and proxy between this runner and GitHub (GITHUB_API_URL), then run the step again'
    default:
      return 'look at githubstatus.com, then run the step again'
  }
}
