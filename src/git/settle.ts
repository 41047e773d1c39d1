import { type Context, prefixedLog } from '../context.ts'
import type { Credentials } from '../ssh/connect.ts'
import { Reconnecting } from '../ssh/reconnecting.ts'
import { formatTarget, type Target } from '../ssh/target.ts'
import { goBack, short } from './bring.ts'
import { HostDeploy } from './deploy.ts'
import { finishDeploy } from './leftover.ts'
import type { DeployPlan, HostOutcome } from './plan.ts'
import { survey } from './survey.ts'

/**
 * Puts right what a cancelled or killed deploy has left on its hosts, one after another, and says what runs. A host
 * where another deploy is at work, or that this one had not come to, is left alone.
 */
export async function settleFleet(
  hosts: readonly Target[],
  credentials: Credentials,
  plan: DeployPlan,
  updated: readonly string[],
  context: Context,
): Promise<HostOutcome[]> {
  const outcomes: HostOutcome[] = []
  for (const target of hosts) {
    const own = { ...context, log: prefixedLog(context.log, formatTarget(target)) }
    const server = await Reconnecting.open(target, credentials, own)
    try {
      const outcome = await settleHost(server, plan, updated.includes(server.name), own)
      if (outcome === undefined) continue
      outcomes.push(outcome)
      if (outcome.failure) own.log.warn(outcome.failure.describe())
      own.log.info(`now runs: ${outcome.runs === null ? 'not known' : short(outcome.runs)}`)
    } finally {
      server.close()
    }
  }
  return outcomes
}

async function settleHost(
  server: Reconnecting,
  plan: DeployPlan,
  wasUpdated: boolean,
  context: Context,
): Promise<HostOutcome | undefined> {
  const found = await survey(server.connection, plan.path)
  const newest = found.history.at(-1)
  const unfinished = found.journal?.id === plan.id
  // Where other hosts did not get the commit, none keeps it.
  const alone =
    wasUpdated && plan.onFailure === 'rollback' && newest?.sha === plan.sha && newest.result === 'ok'
  if (found.checkout !== 'repository' || !(unfinished || alone)) return undefined
  const host = await HostDeploy.open(server, plan, context, found)
  try {
    if (unfinished) return await finishDeploy(host)
    const what = 'the deploy was cancelled before all hosts had the commit'
    const to = host.wayBack
    if (to === undefined) return undefined
    return await goBack(host, to, { good: false, phase: 'fleet', what, seen: '', health: 'not asked' })
  } finally {
    await host.release()
  }
}
