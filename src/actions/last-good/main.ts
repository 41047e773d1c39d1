import { Failure } from '../../failure.ts'
import type { Action, Run } from '../../runner/action.ts'
import { Deployments } from '../../runner/deployments/deployments.ts'
import { findLastGood, findVersion, type LastGood } from '../../runner/deployments/last-good.ts'
import type { DeploymentRecord } from '../../runner/deployments/record.ts'
import { readInputs } from './inputs.ts'

export const lastGood: Action = {
  async main(run) {
    const { token, place, current, version } = run.inputs(readInputs)
    const deployments = new Deployments(run.github, token, run.context)
    const records = await deployments.list(place)
    const isGood = (record: DeploymentRecord) => deployments.isGood(record)
    if (version !== undefined) {
      const { chosen: named, good } = await findVersion(records, version, isGood)
      if (named === undefined) {
        throw new Failure(
          `no good deployment of '${version}', kind ${place.kind}, is recorded for the environment ${place.environment}`,
          {
            seen: `there are, newest first: ${good.join(', ') || 'none'}`,
            state: 'nothing was changed.',
            hint: 'name one of these; one that was never recorded, or has failed, is reached by deploying it',
          },
        )
      }
      return give(run, named)
    }
    const found = await findLastGood(records, current, isGood)
    const { chosen } = found
    if (chosen === undefined) {
      throw new Failure(
        `no version of kind ${place.kind} to go back to in the environment ${place.environment}`,
        {
          seen: describe(found, records.length),
          state: 'nothing was changed.',
          hint: 'name the version to go back to; only deployments that record-deployment has recorded as a success, with the same `environment` and `kind`, are found by themselves',
        },
      )
    }
    give(run, chosen)
    run.context.log.info(describe(found, records.length))
  },
}

function give(run: Run, { id, sha, release, snapshot }: DeploymentRecord): void {
  run.output('sha', sha)
  run.output('release', release)
  run.output('snapshot', snapshot)
  run.output('deployment-id', id)
  run.context.log.info(`last good: release ${release}, commit ${sha} (deployment ${id})`)
}

function describe({ current, left }: LastGood, count: number): string {
  const passedOver = left.length === 0 ? '' : `; left by a rollback: ${left.slice(0, 10).join(', ')}`
  return `${count} ${count === 1 ? 'record' : 'records'}; current: ${current ?? 'none'}${passedOver}`
}
