import type { DeploymentState, Place } from '../../runner/deployments/deployments.ts'
import { isDeploymentId, isRelease, isSha, snapshotProblem } from '../../runner/deployments/record.ts'
import { defaultRelease, type GitHubContext } from '../../runner/github-context.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import { readPlace, readToken } from '../deployment-inputs.ts'

export interface RecordDeploymentInputs {
  readonly token: string
  readonly place: Place
  readonly state: DeploymentState
  readonly url: string
  readonly dryRun: boolean
  readonly record: NewRecord | KnownRecord
}

/** A record to be made. */
export interface NewRecord {
  readonly id: undefined
  readonly sha: string
  readonly release: string
  readonly snapshot: string
}

/** A record to be given another status; a given sha or release must be its own. */
export interface KnownRecord {
  readonly id: number
  readonly sha: string | undefined
  readonly release: string | undefined
}

export function readInputs(read: InputReader, github: GitHubContext): RecordDeploymentInputs {
  return {
    token: readToken(read),
    place: readPlace(read),
    state: read.choice('state', ['in_progress', 'success', 'failure']),
    url: readUrl(read),
    dryRun: read.boolean('dry-run'),
    record: readRecord(read, github),
  }
}

function readRecord(read: InputReader, github: GitHubContext): NewRecord | KnownRecord {
  const sha = read.optional('sha')?.toLowerCase()
  if (sha !== undefined && !isSha(sha)) {
    read.problem('sha', 'is not the full id of a commit: write all 40 hexadecimal digits')
  }
  const release = read.optional('release')
  if (release !== undefined && !isRelease(release)) {
    read.problem(
      'release',
      'may hold letters, digits, dots, dashes and underscores, at most 100, a letter or digit first',
    )
  }
  const snapshot = readSnapshot(read)
  const id = read.optional('deployment-id')
  if (id === undefined) {
    const own = sha ?? github.sha
    if (!isSha(own))
      read.problem('sha', 'is empty and the run has no commit of its own: write the full commit id')
    return { id: undefined, sha: own, release: release ?? defaultRelease({ ...github, sha: own }), snapshot }
  }
  if (!/^\d{1,16}$/.test(id) || !isDeploymentId(Number(id))) {
    read.problem(
      'deployment-id',
      'is not the id of a deployment: write the output `deployment-id` of the first call',
    )
  }
  if (snapshot !== '') {
    read.problem(
      'snapshot',
      'is kept by the call that makes the record: it cannot be given with `deployment-id`',
    )
  }
  return { id: Number(id), sha, release }
}

function readSnapshot(read: InputReader): string {
  const text = read.text('snapshot')
  if (text === '') return ''
  const problem = snapshotProblem(text)
  if (problem === undefined) return JSON.stringify(JSON.parse(text))
  read.problem('snapshot', problem)
  return ''
}

function readUrl(read: InputReader): string {
  const text = read.text('url')
  if (text === '') return ''
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || text.length > 2_000) {
    read.problem('url', 'is not an http(s) address')
    return ''
  }
  if (url.username !== '' || url.password !== '') {
    read.problem('url', 'must not hold a user or password: everybody can read it')
  }
  return url.href
}
