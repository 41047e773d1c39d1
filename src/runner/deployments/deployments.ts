import type { Context } from '../../context.ts'
import { Failure } from '../../failure.ts'
import type { GitHubContext } from '../github-context.ts'
import { GitHubApi, type Octokit, type RequestBasics } from './github-api.ts'
import {
  type DeploymentRecord,
  isDeploymentId,
  type Kind,
  parseDeployment,
  payloadOf,
  taskOf,
} from './record.ts'

export type DeploymentState = 'in_progress' | 'success' | 'failure'

/** Where a record belongs. */
export interface Place {
  readonly environment: string
  readonly kind: Kind
}

const PER_PAGE = 100
const MAX_PAGES = 10

/** Evenkeel's records among the deployments of a repository (GitHub's REST API, "Deployments"). */
export class Deployments {
  readonly #api: GitHubApi
  readonly #context: Context
  readonly #runUrl: string

  constructor(github: GitHubContext, token: string, context: Context) {
    this.#api = new GitHubApi(github, token, context)
    this.#context = context
    this.#runUrl = github.runUrl
  }

  /** Makes a record, as yet without a status. Its id. Throws `Failure`. */
  async create(
    place: Place,
    version: Pick<DeploymentRecord, 'sha' | 'release' | 'snapshot'>,
  ): Promise<number> {
    const { kind, environment } = place
    const what = 'record a deployment'
    const { status, data } = await this.#api.call(
      { what, permission: 'write', repeatable: false },
      (octokit, basics) =>
        octokit.rest.repos.createDeployment({
          ...basics,
          ref: version.sha,
          task: taskOf(kind),
          environment,
          description: `${kind} ${version.release}`,
          // What is recorded has been decided: GitHub must neither merge into it nor wait for its checks.
          auto_merge: false,
          required_contexts: [],
          payload: { ...payloadOf(kind, version.release, version.snapshot) },
        }),
    )
    if (status === 201 && isDeploymentId(data.id) && data.sha === version.sha) return data.id
    throw new Failure(`could not ${what} of ${this.#api.repository}`, {
      seen: `HTTP ${status} without a deployment of that commit`,
      hint: 'look whether a branch or tag of the repository is named like the commit id',
    })
  }

  /** Adds a status to a record. Throws `Failure`. */
  async addStatus(id: number, state: DeploymentState, url: string): Promise<void> {
    await this.#api.call(
      {
        what: `add a status to deployment ${id}`,
        permission: 'write',
        // The same status twice tells nothing new.
        repeatable: true,
        missing: `there is no deployment ${id} in this repository`,
      },
      (octokit, basics) =>
        octokit.rest.repos.createDeploymentStatus({
          ...basics,
          deployment_id: id,
          state,
          ...(this.#runUrl === '' ? {} : { log_url: this.#runUrl }),
          ...(url === '' ? {} : { environment_url: url }),
        }),
    )
  }

  /** One record. Throws `Failure` when there is none of that id, or it is not of that place. */
  async get(id: number, place: Place): Promise<DeploymentRecord> {
    const { data } = await this.#api.call(
      {
        what: `read deployment ${id}`,
        permission: 'read',
        repeatable: true,
        missing: `there is no deployment ${id} in this repository`,
      },
      (octokit, basics) => octokit.rest.repos.getDeployment({ ...basics, deployment_id: id }),
    )
    const parsed = parseDeployment(data, place)
    if (parsed.record) return parsed.record
    throw new Failure(
      `deployment ${id} is not a record of kind ${place.kind} in the environment ${place.environment}`,
      {
        seen: parsed.problem ?? 'a deployment that Evenkeel did not make',
        state: 'nothing was recorded.',
        hint: 'give the `deployment-id` that the first record-deployment step of this job gave out, with the same `environment` and `kind`',
      },
    )
  }

  /** The records of a place, newest first; what is not valid is passed over with a warning. Throws `Failure`. */
  async list({ environment, kind }: Place): Promise<DeploymentRecord[]> {
    const records = new Map<number, DeploymentRecord>()
    const problems: string[] = []
    const { items, complete } = await this.#all(`read the deployments to ${environment}`, (octokit, basics) =>
      octokit.rest.repos.listDeployments({ ...basics, environment, task: taskOf(kind) }),
    )
    for (const raw of items) {
      const parsed = parseDeployment(raw, { environment, kind })
      if (parsed.record) records.set(parsed.record.id, parsed.record)
      else if (parsed.problem) problems.push(`${nameOf(raw)} (${parsed.problem})`)
    }
    if (!complete) this.#context.log.warn(`only the newest ${items.length} deployments were looked at`)
    if (problems.length > 0) {
      const more = problems.length > 5 ? ` and ${problems.length - 5} more` : ''
      this.#context.log.warn(
        `deployments passed over because what they hold is not valid: ${problems.slice(0, 5).join(', ')}${more}`,
      )
    }
    return [...records.values()].sort((a, b) => b.id - a.id)
  }

  /** Whether the newest verdict in a record's history is success. Throws `Failure`. */
  async isGood({ id }: DeploymentRecord): Promise<boolean> {
    const { items } = await this.#all(`read the history of deployment ${id}`, (octokit, basics) =>
      octokit.rest.repos.listDeploymentStatuses({ ...basics, deployment_id: id }),
    )
    let newest = { id: 0, state: '' }
    for (const raw of items) {
      const status = raw as { id?: unknown; state?: unknown } | null
      if (!isDeploymentId(status?.id) || !(status.id > newest.id)) continue
      if (VERDICTS.includes(String(status.state))) newest = { id: status.id, state: String(status.state) }
    }
    return newest.state === 'success'
  }

  /** All pages of a list, up to a bound. */
  async #all(
    what: string,
    ask: (octokit: Octokit, basics: Paged) => Promise<{ data: unknown; headers: { link?: string } }>,
  ): Promise<{ items: unknown[]; complete: boolean }> {
    const items: unknown[] = []
    for (let page = 1; page <= MAX_PAGES; page++) {
      const { data, headers } = await this.#api.call(
        { what, permission: 'read', repeatable: true },
        (octokit, basics) => ask(octokit, { ...basics, per_page: PER_PAGE, page }),
      )
      if (!Array.isArray(data)) {
        throw new Failure(`could not ${what}`, { seen: 'an answer that is not a JSON list' })
      }
      items.push(...data)
      // The link itself is not followed: the token goes to no address but the one of this repository.
      if (!/;\s*rel="next"/.test(headers.link ?? '')) return { items, complete: true }
    }
    return { items, complete: false }
  }
}

type Paged = RequestBasics & { readonly per_page: number; readonly page: number }

const VERDICTS = ['success', 'failure', 'error']

function nameOf(raw: unknown): string {
  const id = (raw as { id?: unknown } | null)?.id
  return isDeploymentId(id) ? String(id) : '?'
}
