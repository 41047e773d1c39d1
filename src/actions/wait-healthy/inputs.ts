import type { InputReader } from '../../runner/input-reader.ts'
import type { Credentials } from '../../ssh/connect.ts'
import type { Target } from '../../ssh/target.ts'
import { type HealthInputs, readHealthInputs } from '../health-inputs.ts'
import { readCredentials, readHosts } from '../ssh-inputs.ts'

export interface WaitHealthyInputs {
  readonly hosts: readonly Target[]
  /** Undefined where everything is asked from the runner. */
  readonly credentials: Credentials | undefined
  readonly health: HealthInputs
  readonly dryRun: boolean
}

export function readInputs(read: InputReader): WaitHealthyInputs {
  const health = readHealthInputs(read, ['name'], { required: true })
  const overSsh = health.from !== 'runner'
  const needsHost = health.from === 'node' || health.check?.kind === 'tcp' || usesName(health)
  const hosts = readHosts(read, { required: needsHost, login: health.from === 'node' })
  return {
    hosts,
    credentials: readCredentials(read, hosts, { required: overSsh }),
    health,
    dryRun: read.boolean('dry-run'),
  }
}

function usesName({ check }: HealthInputs): boolean {
  return check?.kind === 'http' && check.url.includes('{name}')
}
