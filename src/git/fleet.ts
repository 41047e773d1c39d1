import { type Context, prefixedLog } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Credentials } from '../ssh/connect.ts'
import { READ_SCRIPT } from '../ssh/lock.ts'
import { Reconnecting } from '../ssh/reconnecting.ts'
import { formatTarget, type Target } from '../ssh/target.ts'
import { bringCommit, goBack, short } from './bring.ts'
import { HostDeploy } from './deploy.ts'
import { takeOver } from './leftover.ts'
import type { DeployPlan, HostOutcome } from './plan.ts'
import { resolveOnRunner } from './push.ts'
import type { Ref } from './ref.ts'
import { resolveRef, type Source } from './repository.ts'
import { type Survey, survey } from './survey.ts'

/** Below this, in KiB, a fetch and a build have no chance. */
const MIN_FREE_KIB = 64 * 1024

/** A host that was logged in to and looked at; nothing has been changed there. */
export interface Candidate {
  readonly server: Reconnecting
  readonly found: Survey
  readonly context: Context
}

/**
 * Logs in to all hosts and looks at each; throws one `Failure` for all that cannot be deployed to. Meanwhile the first
 * one asks the repository which commit `ref` is: all get the same.
 */
export async function preflight(
  hosts: readonly Target[],
  credentials: Credentials,
  path: string,
  ref: Ref,
  source: Source,
  context: Context,
): Promise<{ candidates: Candidate[]; sha: string }> {
  const { workspace } = source
  let resolved = workspace && resolveOnRunner(ref, workspace)
  // Whether the hosts are fit counts first: its failure may come before anybody waits for it.
  resolved?.catch(() => {})
  const looked = await Promise.allSettled(
    hosts.map(async (target, index): Promise<Candidate> => {
      const own = { ...context, log: prefixedLog(context.log, formatTarget(target)) }
      const server = await Reconnecting.open(target, credentials, own)
      // For the lock.
      server.connection.prepare(READ_SCRIPT)
      // For the commits.
      if (workspace) server.connection.prepare(READ_SCRIPT)
      if (index === 0) {
        resolved ??= resolveRef(server.connection, ref, path, source, context)
        resolved.catch(() => {})
      }
      const wanted = workspace && (await resolved?.catch(() => ''))
      const found = await survey(server.connection, path, wanted)
      const problem = unfit(found, path, source)
      if (problem !== undefined) {
        server.close()
        throw new Failure(problem.what, {
          host: server.name,
          seen: problem.seen,
          state: 'nothing was changed on any host.',
          hint: problem.hint,
        })
      }
      return { server, found, context: own }
    }),
  )
  const failed = looked.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
  const ready = looked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  try {
    if (failed.length === 0) {
      if (resolved === undefined) throw new TypeError('the inputs require a host')
      return { candidates: ready, sha: await resolved }
    }
  } catch (error) {
    failed.push(error)
  }
  for (const { server } of ready) server.close()
  throw failed.length === 1 ? failed[0] : together(`${failed.length} hosts cannot be deployed to`, failed)
}

/** Why a host cannot be deployed to. Pure. */
export function unfit(
  { checkout, trouble, missing, freeKiB, origin }: Survey,
  path: string,
  { repository, workspace }: Pick<Source, 'repository' | 'workspace'>,
): { what: string; seen: string; hint: string } | undefined {
  if (missing.length > 0) {
    const list = missing.join(', ')
    const hint = 'apt-get install git util-linux coreutils'
    return { what: `the server lacks ${list}`, seen: `not on the PATH of its SSH sessions: ${list}`, hint }
  }
  if (checkout === 'foreign') {
    const hint = 'give the top folder of the checkout, or an empty or missing one together with `repository`'
    return { what: `'${path}' is not a git checkout`, seen: trouble, hint }
  }
  if (workspace === undefined && repository === undefined && (checkout === 'none' || origin === '')) {
    const seen = checkout === 'none' ? 'the path is missing or empty' : 'the checkout has no remote `origin`'
    const hint = "set the input 'repository', from which it is cloned"
    return { what: `there is nothing to pull from in '${path}'`, seen, hint }
  }
  if (freeKiB < MIN_FREE_KIB) {
    const hint = 'free some space; old containers and images are a usual cause: docker system prune'
    return { what: 'the disk is full', seen: `${freeKiB} KiB are free at '${path}'`, hint }
  }
  return undefined
}

/** Called with the names of the hosts on which the new commit is up, whenever that changes. */
export type OnUpdated = (hosts: readonly string[]) => void

/**
 * Deploys to hosts, `batch` at a time. All locks are taken first. One host's failure stops the rest and, with
 * `on-failure: rollback`, brings the updated ones back.
 */
export async function deployFleet(
  candidates: readonly Candidate[],
  plan: DeployPlan,
  batch: number,
  onUpdated: OnUpdated,
): Promise<HostOutcome[]> {
  const hosts: HostDeploy[] = []
  try {
    // In one order everywhere, so that two deploys of several hosts cannot wait for each other.
    const ordered = [...candidates].sort((a, b) => (a.server.name < b.server.name ? -1 : 1))
    const atOnce = candidates.length === 1
    for (const { server, context, found } of ordered) {
      hosts.push(await HostDeploy.open(server, plan, context, found, { atOnce }))
    }
    hosts.sort((a, b) => place(candidates, a) - place(candidates, b))
    for (const host of hosts) await takeOver(host)
    const outcomes: HostOutcome[] = []
    for (let index = 0; index < hosts.length; index += batch) {
      const group = hosts.slice(index, index + batch)
      const done = await Promise.allSettled(group.map(bringCommit))
      for (const one of done) if (one.status === 'fulfilled') outcomes.push(one.value)
      onUpdated(outcomes.filter(updated).map(({ host }) => host))
      const crash = done.find((one) => one.status === 'rejected')
      if (crash === undefined && outcomes.every(({ result }) => result === 'ok')) continue
      const back = await bringBack(hosts, outcomes, plan)
      if (crash !== undefined) throw crash.reason
      return back
    }
    return outcomes
  } finally {
    await Promise.allSettled(hosts.map((host) => host.release()))
  }
}

function place(candidates: readonly Candidate[], host: HostDeploy): number {
  return candidates.findIndex(({ server }) => server === host.server)
}

const updated = ({ changed, result }: HostOutcome) => changed && result === 'ok'

/** Brings the hosts that were updated before another one failed back to what they had. */
async function bringBack(
  hosts: readonly HostDeploy[],
  outcomes: readonly HostOutcome[],
  plan: DeployPlan,
): Promise<HostOutcome[]> {
  if (plan.onFailure === 'stop') return [...outcomes]
  const result: HostOutcome[] = []
  for (const outcome of outcomes) {
    const host = hosts.find(({ server }) => server.name === outcome.host)
    const to = host?.wayBack
    if (host === undefined || to === undefined || !updated(outcome) || host.context.signal.aborted) {
      result.push(outcome)
      continue
    }
    const what = 'another host failed'
    result.push(await goBack(host, to, { good: false, phase: 'fleet', what, seen: '', health: 'not asked' }))
  }
  return result
}

/** One error for a step with all that has failed in it. */
export function fleetFailure(
  outcomes: readonly HostOutcome[],
  hosts: readonly Target[],
): Failure | undefined {
  const failures = outcomes.flatMap(({ failure }) => failure ?? [])
  if (failures.length <= 1 && outcomes.length === hosts.length) return failures[0]
  const untouched = hosts.map(formatTarget).filter((name) => !outcomes.some(({ host }) => host === name))
  const first = failures[0]
  if (first === undefined) return undefined
  const rest = untouched.length > 0 ? `\n  not touched: ${untouched.join(', ')}` : ''
  const stays = outcomes.filter(updated).map(({ host, sha }) => `\n  ${host}: ${short(sha)} is up and stays`)
  return together('the deploy failed', failures, `${stays.join('')}${rest}`)
}

function together(what: string, failures: readonly unknown[], state = ''): Failure {
  const seen = failures
    .map((one) => (one instanceof Failure ? one.describe() : String(one)))
    .map((text) => `\n  ${text.replaceAll('\n', '\n  ')}`)
    .join('')
  return new Failure(what, { seen, ...(state === '' ? {} : { state }) })
}
