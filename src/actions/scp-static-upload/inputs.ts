import { readdirSync, statSync } from 'node:fs'
import { parseModeChange } from '../../release/file-mode.ts'
import type { Deletion } from '../../release/in-place.ts'
import type { SiteMode } from '../../release/site-host.ts'
import { linkedProblem, normalTarget, releaseProblem, targetProblem } from '../../release/site-path.ts'
import type { SourceOrder } from '../../release/source-reader.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import type { Credentials } from '../../ssh/connect.ts'
import type { Target } from '../../ssh/target.ts'
import { type HealthInputs, readHealthInputs } from '../health-inputs.ts'
import { readSshInputs } from '../ssh-inputs.ts'
import { readSourceOrder } from './source-inputs.ts'

export interface UploadInputs {
  readonly hosts: readonly Target[]
  readonly credentials: Credentials
  /** What to upload. */
  readonly source: SourceOrder
  readonly target: string
  readonly mode: SiteMode
  readonly deletion: Deletion
  readonly release: string
  readonly activate: boolean
  readonly keepReleases: number
  readonly keepAssets: readonly string[]
  readonly linked: readonly string[]
  readonly owner: string
  readonly beforeActivate: string
  readonly afterActivate: string
  readonly health: HealthInputs
  readonly lockWaitMs: number
  /** Hash the files on the server anew rather than trust the stored list. */
  readonly full: boolean
  readonly dryRun: boolean
}

/** Reads all inputs; `workspace` is what a relative `source` is relative to. */
export function readUploadInputs(
  read: InputReader,
  { workspace, defaultRelease }: { workspace: string; defaultRelease: string },
): UploadInputs {
  const mode = read.choice('mode', ['atomic', 'in-place'])
  const deletion = read.choice('delete', ['false', 'true', 'all'])
  const activate = read.boolean('activate')
  if (mode === 'atomic' && deletion !== 'false') {
    read.problem(
      'delete',
      `is '${deletion}', which is for \`mode: in-place\`: a release holds only its own files`,
    )
  }
  if (mode === 'in-place' && read.text('linked') !== '') {
    read.problem('linked', 'is for `mode: atomic`: in place, what is not uploaded stays where it is')
  }
  if (mode === 'in-place' && !activate) {
    read.problem(
      'activate',
      'is false, which is for `mode: atomic`: in place there is nothing to activate later',
    )
  }
  return {
    mode,
    deletion,
    ...readSshInputs(read),
    source: readSource(read, workspace),
    target: readSiteTarget(read),
    release: readRelease(read, 'release', defaultRelease),
    activate,
    keepReleases: read.integer('keep-releases', { min: 1, max: 1000 }),
    keepAssets: read.lines('keep-assets'),
    linked: readLinked(read),
    owner: readOwner(read),
    beforeActivate: read.text('before-activate'),
    afterActivate: read.text('after-activate'),
    health: readHealthInputs(read, ['name']),
    lockWaitMs: read.duration('lock-wait'),
    full: read.choice('verify', ['manifest', 'full']) === 'full',
    dryRun: read.boolean('dry-run'),
  }
}

/** Reads `target`. */
export function readSiteTarget(read: InputReader): string {
  const target = read.required('target')
  if (target === '') return target
  const problem = targetProblem(target)
  if (problem !== undefined) read.problem('target', problem)
  return normalTarget(target)
}

function readRelease(read: InputReader, name: string, fallback: string): string {
  const release = read.text(name) || fallback
  const problem = releaseProblem(release)
  if (problem !== undefined) read.problem(name, problem)
  return release
}

function readSource(read: InputReader, workspace: string): SourceOrder {
  const order = readSourceOrder(read, workspace)
  const { folder, chmod } = order
  if (chmod !== '' && parseModeChange(chmod) === undefined) {
    read.problem('chmod', `is '${chmod}': write a mode such as 644, or u=rwX,go=rX`)
  }
  const text = read.required('source')
  if (text === '') return order
  try {
    if (!statSync(folder).isDirectory())
      read.problem('source', `is '${text}', which is a file: give a folder`)
    else if (readdirSync(folder).length === 0)
      read.problem('source', `is '${text}', an empty folder: did the build run?`)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'which does not exist' : `which cannot be read (${code})`
    read.problem('source', `is '${text}', ${why}: the path is relative to the workspace, ${workspace}`)
  }
  return order
}

function readLinked(read: InputReader): string[] {
  const paths = read.lines('linked')
  for (const path of paths) {
    const problem = linkedProblem(path)
    if (problem !== undefined) read.problem('linked', `has '${path}': ${problem}`)
  }
  return paths
}

function readOwner(read: InputReader): string {
  const owner = read.text('chown')
  const name = '[A-Za-z0-9_][A-Za-z0-9_.-]*\\$?'
  if (owner !== '' && !new RegExp(`^(${name})?(:(${name})?)?$`).test(owner)) {
    read.problem('chown', `is '${owner}': write user, user:group or :group`)
  }
  return owner
}
