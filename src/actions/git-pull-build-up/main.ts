import { randomUUID } from 'node:crypto'
import { deployFleet, fleetFailure, preflight } from '../../git/fleet.ts'
import type { DeployPlan } from '../../git/plan.ts'
import type { Source } from '../../git/repository.ts'
import { settleFleet } from '../../git/settle.ts'
import type { Action, Run } from '../../runner/action.ts'
import { writeSummary } from '../../runner/summary.ts'
import { WorkspaceGit } from '../../runner/workspace-git.ts'
import { healthOf } from './health.ts'
import { type GitInputs, readInputs } from './inputs.ts'
import { conclude, show, table } from './report.ts'

/** A runner that was cut off connects again within this time, in ms. */
const RECONNECT_GRACE_MS = 30_000

/** What the settle step needs to know of a deploy that did not come to its own end. */
interface Noted {
  readonly id: string
  readonly sha: string
  /** Hosts on which the new commit is up and has been found good. */
  readonly updated: readonly string[]
}

export const gitPullBuildUp: Action = {
  async main(run) {
    const inputs = run.inputs((read) => readInputs(read, run.github))
    const { hosts, credentials, path, ref } = inputs
    const source = sourceOf(inputs, run)
    const { candidates, sha } = await preflight(hosts, credentials, path, ref, source, run.context)
    try {
      run.context.log.info(`${ref.kind === 'name' ? `${ref.name} is ` : 'commit '}${sha}`)
      run.output('sha', sha)
      if (inputs.dryRun) {
        for (const candidate of candidates) await show(candidate, sha, { path, source }, run)
        return
      }
      const id = randomUUID()
      const note = (updated: readonly string[]) => run.saveState({ id, sha, updated } satisfies Noted)
      note([])
      const plan = makePlan(inputs, id, sha, run)
      const outcomes = await deployFleet(candidates, plan, inputs.batch, note).catch(async (error) => {
        // An error of another kind than a failed deploy, such as a server that is gone: what can be done now is.
        if (!run.context.signal.aborted) await settleAll(inputs, plan, [], run).catch(() => {})
        throw error
      })
      await conclude(outcomes, run)
      const failure = fleetFailure(outcomes, hosts)
      if (failure !== undefined) throw failure
    } finally {
      for (const { server } of candidates) server.close()
    }
  },

  async settle(run, state) {
    const { id, sha, updated } = state as Noted
    const inputs = run.inputs((read) => readInputs(read, run.github))
    const plan = { ...makePlan(inputs, id, sha, run), lockWaitMs: 60_000 }
    await settleAll(inputs, plan, updated, run)
  },
}

async function settleAll(
  { hosts, credentials }: GitInputs,
  plan: DeployPlan,
  updated: readonly string[],
  { context }: Run,
): Promise<void> {
  const outcomes = await settleFleet(hosts, credentials, plan, updated, context)
  if (outcomes.length > 0) await writeSummary(table(outcomes, 'put right after it was cut off'))
}

function sourceOf({ source, transport }: GitInputs, { github, context }: Run): Source {
  const workspace = transport === 'push' ? new WorkspaceGit(github.workspace, context.signal) : undefined
  return { ...source, workspace }
}

function makePlan(inputs: GitInputs, id: string, sha: string, work: Run): DeployPlan {
  const { github } = work
  const release = `${sha.slice(0, 7)}-${github.runId || '0'}`
  const run = github.runUrl || 'a run without an address'
  const health = healthOf(inputs, release)
  return {
    ...inputs,
    source: sourceOf(inputs, work),
    ...{ id, sha, release, run, actor: github.actor, health },
    reconnectGraceMs: RECONNECT_GRACE_MS,
  }
}
