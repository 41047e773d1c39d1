import { Failure } from '../../failure.ts'
import type { Action } from '../../runner/action.ts'
import { Deployments } from '../../runner/deployments/deployments.ts'
import { type KnownRecord, type NewRecord, type RecordDeploymentInputs, readInputs } from './inputs.ts'

export const recordDeployment: Action = {
  async main(run) {
    const inputs = run.inputs((read) => readInputs(read, run.github))
    const deployments = new Deployments(run.github, inputs.token, run.context)
    const { record, place, state, url, dryRun } = inputs
    const { log } = run.context
    const id =
      record.id === undefined
        ? await make(deployments, record, inputs)
        : await find(deployments, record, inputs)
    if (dryRun) {
      const target = id === undefined ? describeNew(record, inputs) : `deployment ${id}`
      log.info(`dry run: ${target} would get the status ${state}; nothing was recorded`)
      return
    }
    if (id === undefined) throw new TypeError('a record has an id')
    // Known from here on, even if the status cannot be added.
    run.output('deployment-id', id)
    await deployments.addStatus(id, state, url)
    log.info(`deployment ${id} of kind ${place.kind} to ${place.environment}: ${state}`)
  },
}

/** Makes the record; in a dry run it only proves that the deployments can be read, and there is no id. */
async function make(
  deployments: Deployments,
  record: NewRecord,
  { place, dryRun }: RecordDeploymentInputs,
): Promise<number | undefined> {
  if (!dryRun) return await deployments.create(place, record)
  await deployments.list(place)
  return undefined
}

/** The id of a record that fits the inputs. */
async function find(
  deployments: Deployments,
  { id, sha, release }: KnownRecord,
  { place }: RecordDeploymentInputs,
): Promise<number> {
  const found = await deployments.get(id, place)
  const wrong = [
    ...(sha === undefined || sha === found.sha ? [] : [`its commit is ${found.sha}`]),
    ...(release === undefined || release === found.release ? [] : [`its release is ${found.release}`]),
  ]
  if (wrong.length === 0) return id
  throw new Failure(`deployment ${id} is the record of another version`, {
    seen: wrong.join(', '),
    state: 'nothing was recorded.',
    hint: 'leave `sha` and `release` empty together with `deployment-id`, or give those of the first call',
  })
}

function describeNew(record: NewRecord | KnownRecord, { place }: RecordDeploymentInputs): string {
  return `a new deployment of kind ${place.kind} to ${place.environment} (commit ${record.sha}, release ${record.release})`
}
