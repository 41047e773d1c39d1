import { releaseProblem } from '../../release/site-path.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import type { Credentials } from '../../ssh/connect.ts'
import type { Target } from '../../ssh/target.ts'
import { type HealthInputs, readHealthInputs } from '../health-inputs.ts'
import { readSiteTarget } from '../scp-static-upload/inputs.ts'
import { readSshInputs } from '../ssh-inputs.ts'

export interface RollbackInputs {
  readonly hosts: readonly Target[]
  readonly credentials: Credentials
  readonly target: string
  /** `previous` or a release id. */
  readonly to: string
  readonly health: HealthInputs
  readonly dryRun: boolean
}

export function readRollbackInputs(read: InputReader): RollbackInputs {
  const to = read.required('to')
  const problem = to === '' ? undefined : releaseProblem(to)
  if (problem !== undefined) read.problem('to', problem)
  return {
    ...readSshInputs(read),
    target: readSiteTarget(read),
    to,
    health: readHealthInputs(read, ['name']),
    dryRun: read.boolean('dry-run'),
  }
}
