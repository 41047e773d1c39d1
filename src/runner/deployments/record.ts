// What Evenkeel keeps in a GitHub deployment. Whoever has `deployments: write` can write one, and anybody can read
// them in a public repository: no secrets go in, and nothing is believed that comes out.

export const KINDS = ['static', 'git', 'consul', 'dns'] as const
export type Kind = (typeof KINDS)[number]

export interface DeploymentRecord {
  readonly id: number
  /** Full commit id, lower case. */
  readonly sha: string
  readonly kind: Kind
  readonly release: string
  /** JSON of an object or a list on one line; '' when none was kept. */
  readonly snapshot: string
}

/** The payload of a record as it is sent. The snapshot stays text, so that it comes back as it was. */
export interface Payload {
  readonly evenkeel: 1
  readonly kind: Kind
  readonly release: string
  readonly snapshot?: string
}

const MAX_SNAPSHOT_BYTES = 32 * 1024
const MAX_PAYLOAD_CHARS = 128 * 1024
const MAX_DEPTH = 32

export const isSha = (text: unknown): text is string =>
  typeof text === 'string' && /^[0-9a-f]{40}$/.test(text)

export const isRelease = (text: unknown): text is string =>
  typeof text === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(text)

export const isDeploymentId = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) > 0

/** The task of a deployment: GitHub then lists those of one kind only, and none that a job's `environment:` made. */
export const taskOf = (kind: Kind) => `deploy:${kind}`

export function payloadOf(kind: Kind, release: string, snapshot: string): Payload {
  return { evenkeel: 1, kind, release, ...(snapshot === '' ? {} : { snapshot }) }
}

/** What is wrong with a snapshot, to complete "the snapshot ..."; undefined when nothing is. */
export function snapshotProblem(text: string): string | undefined {
  if (Buffer.byteLength(text) > MAX_SNAPSHOT_BYTES) return `is larger than ${MAX_SNAPSHOT_BYTES / 1024} KiB`
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'is not JSON'
  }
  if (typeof value !== 'object' || value === null) return 'is not a JSON object or list'
  return valueProblem(value, 0)
}

function valueProblem(value: unknown, depth: number): string | undefined {
  if (depth > MAX_DEPTH) return 'is nested too deep'
  if (typeof value === 'string') return textProblem(value)
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, inner] of Object.entries(value)) {
    const problem = textProblem(key) ?? valueProblem(inner, depth + 1)
    if (problem !== undefined) return problem
  }
  return undefined
}

function textProblem(text: string): string | undefined {
  if (/[\p{Cc}\p{Cf}\u2028\u2029]/u.test(text)) return 'holds control characters'
  // An expression for a workflow that pastes the output, and a command in a log that shows it.
  if (text.includes('${{') || text.includes('##[')) return 'holds what a runner would take as an instruction'
  return undefined
}

export type Parsed =
  | { readonly record: DeploymentRecord }
  /** `problem` is fit to be shown; undefined where the deployment is somebody else's and none of ours. */
  | { readonly record: undefined; readonly problem: string | undefined }

const refused = (problem?: string): Parsed => ({ record: undefined, problem })

/** Reads a deployment as GitHub gives it. Nothing of what it holds gets into a problem's text. */
export function parseDeployment(
  raw: unknown,
  expected: { readonly environment: string; readonly kind: Kind },
): Parsed {
  if (!isObject(raw) || !isDeploymentId(raw['id'])) return refused('no valid id')
  const payload = payloadFields(raw['payload'])
  if (payload === undefined || !('evenkeel' in payload)) return refused()
  if (payload['evenkeel'] !== 1) return refused('written by another version of Evenkeel')
  const environment = raw['environment']
  if (typeof environment !== 'string' || environment.toLowerCase() !== expected.environment.toLowerCase()) {
    return refused('of another environment')
  }
  if (payload['kind'] !== expected.kind) return refused('of another kind')
  if (!isSha(raw['sha'])) return refused('its sha is not a full commit id')
  if (!isRelease(payload['release'])) return refused('its release is not a release id')
  const snapshot = payload['snapshot'] ?? ''
  if (typeof snapshot !== 'string') return refused('its snapshot is not text')
  if (snapshot !== '') {
    const problem = /[\r\n]/.test(snapshot) ? 'has several lines' : snapshotProblem(snapshot)
    if (problem !== undefined) return refused(`its snapshot ${problem}`)
  }
  const { id, sha } = raw
  return { record: { id, sha, kind: expected.kind, release: payload['release'], snapshot } }
}

/** GitHub gives a payload back as it was sent: as an object, or as text that holds JSON. */
function payloadFields(payload: unknown): Record<string, unknown> | undefined {
  if (isObject(payload)) return payload
  if (typeof payload !== 'string' || payload.length > MAX_PAYLOAD_CHARS) return undefined
  try {
    const value: unknown = JSON.parse(payload)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
