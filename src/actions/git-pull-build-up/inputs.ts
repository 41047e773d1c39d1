import { parseRef, type Ref } from '../../git/ref.ts'
import type { Source } from '../../git/repository.ts'
import type { GitHubContext } from '../../runner/github-context.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import { type HealthInputs, readHealthInputs } from '../health-inputs.ts'
import { readSshInputs, type SshInputs } from '../ssh-inputs.ts'

export interface GitInputs extends SshInputs {
  readonly path: string
  readonly ref: Ref
  readonly source: Omit<Source, 'workspace'>
  readonly transport: 'pull' | 'push'
  readonly build: string
  readonly up: string
  readonly env: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly lockWaitMs: number
  readonly batch: number
  readonly sync: 'exact' | 'rebase'
  readonly onFailure: 'rollback' | 'stop'
  readonly health: HealthInputs
  readonly dryRun: boolean
}

export function readInputs(read: InputReader, github: GitHubContext): GitInputs {
  const ssh = readSshInputs(read)
  const env = read.environment('env')
  const reserved = Object.keys(env).find((name) => name.startsWith('EVENKEEL_'))
  if (reserved !== undefined) read.problem('env', `sets ${reserved}: names with EVENKEEL_ are taken`)
  return {
    ...ssh,
    transport: read.choice('transport', ['pull', 'push']),
    path: readPath(read),
    ref: readRef(read, github),
    source: {
      repository: readRepository(read, github.serverUrl),
      token: readToken(read),
      tokenUrl: github.serverUrl,
    },
    build: read.text('build'),
    up: read.required('up'),
    env,
    timeoutMs: read.duration('timeout'),
    lockWaitMs: read.duration('lock-wait'),
    batch: read.integer('batch', { min: 1, max: 1_000 }),
    sync: read.choice('sync', ['exact', 'rebase']),
    onFailure: read.choice('on-failure', ['rollback', 'stop']),
    health: readHealthInputs(read, ['name']),
    dryRun: read.boolean('dry-run'),
  }
}

/** A login begins in the home folder, so `~/app` is `app`; a `~` is not expanded in quoted text. */
function readPath(read: InputReader): string {
  const path = read.required('path')
  if (hasControl(path)) read.problem('path', 'holds a control character')
  if (/^\/*$/.test(path) && path !== '') read.problem('path', 'is the root of the server')
  if (/^~[^/]/.test(path)) read.problem('path', `is '${path}': write the home folder of another user in full`)
  return path === '~' ? '.' : path.replace(/^~\/+/, './')
}

function readRef(read: InputReader, { sha }: GitHubContext): Ref {
  const text = read.text('ref') || sha
  if (text === '') read.problem('ref', 'is empty, and the workflow has no commit of its own')
  const ref = parseRef(text)
  if (typeof ref !== 'string') return ref
  read.problem('ref', `is ${ref}`)
  return { kind: 'name', name: text }
}

function readRepository(read: InputReader, serverUrl: string): string | undefined {
  const text = read.optional('repository')
  if (text === undefined) return undefined
  if (text.startsWith('-') || hasControl(text) || /^[a-z0-9+.-]+::/i.test(text)) {
    read.problem('repository', `is '${text}', not an address that git clones from`)
  }
  if (URL.canParse(text) && new URL(text).password !== '') {
    read.problem('repository', 'holds a password, which the server would keep: use `token`')
  }
  return /^[\w.-]+\/[\w.-]+$/.test(text) && !text.startsWith('.') ? `${serverUrl}/${text}.git` : text
}

function readToken(read: InputReader): string {
  const token = read.secret('token').trim()
  if (hasControl(token)) read.problem('token', 'holds a line break or another control character')
  return token
}

function hasControl(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /[\x00-\x1f\x7f]/.test(text)
}
