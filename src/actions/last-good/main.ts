import { Failure } from '../../failure.ts'
import type { Action } from '../../runner/action.ts'
import { Deployments } from '../../runner/deployments/deployments.ts'
import { findLastGood, type LastGood } from '../../runner/deployments/last-good.ts'
import { readInputs } from './inputs.ts'

export const lastGood: Action = {
  async main(run) {
    const { token, place, current } = run.inputs(readInputs)
    const deployments = new Deployments(run.github, token, run.context)
    const records = await deployments.list(place)
    const found = await findLastGood(records, current, (record) => deployments.isGood(record))
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
    run.output('sha', chosen.sha)
    run.output('release', chosen.release)
    run.output('snapshot', chosen.snapshot)
    run.output('deployment-id', chosen.id)
    const { log } = run.context
    log.info(`last good: release ${chosen.release}, commit ${chosen.sha} (deployment ${chosen.id})`)
    log.info(describe(found, records.length))
  },
}

function describe({ current, left }: LastGood, count: number): string {
  const passedOver = left.length === 0 ? '' : `; left by a rollback: ${left.slice(0, 10).join(', ')}`
  return `${count} ${count === 1 ? 'record' : 'records'}; current: ${current ?? 'none'}${passedOver}`
}
