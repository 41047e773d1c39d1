import { Failure } from '../failure.ts'
import type { HostDeploy } from './deploy.ts'
import type { HostOutcome } from './plan.ts'
import type { Verdict } from './verdict.ts'

/** Brings the commit to one host whose lock is held; never throws for a failed deploy, the outcome tells it. */
export async function bringCommit(host: HostDeploy): Promise<HostOutcome> {
  const { plan, context } = host
  const { log } = context
  const unchanged = await upAlready(host)
  if (unchanged !== undefined) return unchanged
  log.info(
    `bringing ${short(plan.sha)}${host.before === undefined ? '' : `, up before: ${short(host.before)}`}`,
  )
  const verdict = await host.judge(await host.bring())
  if (verdict.good) {
    await host.record('ok', host.head)
    log.info(`${short(plan.sha)} is up (health: ${verdict.health})`)
    return host.outcome({ result: 'ok', runs: host.head, health: verdict.health })
  }
  return failedDeploy(host, verdict)
}

/** The outcome of a deploy that has nothing to do, or undefined. */
async function upAlready(host: HostDeploy): Promise<HostOutcome | undefined> {
  const { plan, found, context } = host
  if (!host.isUpAlready) return undefined
  const verdict = await host.judge({ outcome: 'ok', phase: 'up', code: 0, lastLines: [] })
  if (!verdict.good) {
    context.log.warn(`${short(plan.sha)} is there already but ${verdict.what}: bringing it up again`)
    return undefined
  }
  context.log.info(`nothing to do: ${short(plan.sha)} is up already (health: ${verdict.health})`)
  return host.outcome({ result: 'ok', runs: found.head ?? null, changed: false, health: verdict.health })
}

/** What follows a deploy that failed: the way back, or a stop for a person to look. */
export async function failedDeploy(host: HostDeploy, verdict: Verdict): Promise<HostOutcome> {
  const { plan, before, wayBack, context } = host
  context.log.warn(`${verdict.what}`)
  if (verdict.phase === 'checkout') {
    await host.record('interrupted', before, verdict.what)
    return conclude(host, verdict, before, {
      rolledBack: false,
      state: `the checkout could not be changed: ${running(before)}.`,
      hint: 'move what is in the way (git status in the checkout tells it) and run the job again',
    })
  }
  if (plan.onFailure === 'stop' || wayBack === undefined) {
    // Until `up` begins, what was up before still is.
    const runs = verdict.phase === 'build' ? before : undefined
    await host.record('failed', runs, verdict.what)
    const why =
      plan.onFailure === 'stop' ? '`on-failure` is stop' : 'there is no earlier good commit to go back to'
    return conclude(host, verdict, runs, {
      rolledBack: false,
      state: `${short(plan.sha)} is checked out and left as it is, since ${why}; ${runs === undefined ? 'what runs is not known' : running(runs)}.`,
      hint: `log in and look; the whole log is ${host.logPath}`,
    })
  }
  return goBack(host, wayBack, verdict)
}

/** Checks out, builds and brings up an earlier commit, asks for health again, and tells how it came out. */
export async function goBack(host: HostDeploy, to: string, verdict: Verdict): Promise<HostOutcome> {
  const { context } = host
  const logPath = host.logPath
  context.log.info(`going back to ${short(to)}`)
  const back = await host.judge(await host.back(to))
  if (back.good) {
    await host.record('failed', to, verdict.what)
    const health = back.health === 'not checked' ? '' : `, health: ${back.health}`
    return conclude(host, verdict, to, {
      rolledBack: true,
      logPath,
      health: back.health,
      state: `back at ${short(to)}: built and brought up again${health}.`,
      hint: `correct the commit and deploy the next one; the whole log is ${logPath}`,
    })
  }
  await host.record('failed', undefined, `${verdict.what}; then, on the way back: ${back.what}`)
  return conclude(host, verdict, null, {
    rolledBack: false,
    logPath,
    state: `the way back to ${short(to)} failed too: ${back.what}. What runs is not known.\n  ${back.seen}`,
    hint: `log in now and look; the logs are ${logPath} and ${host.logPath}`,
  })
}

function conclude(
  host: HostDeploy,
  verdict: Verdict,
  runs: string | null | undefined,
  {
    state,
    hint,
    ...parts
  }: { state: string; hint: string; rolledBack: boolean; logPath?: string; health?: string },
): HostOutcome {
  const failure = new Failure(verdict.what, { host: host.server.name, seen: verdict.seen, state, hint })
  const result = verdict.phase === 'checkout' ? 'interrupted' : 'failed'
  return host.outcome({ result, runs: runs ?? null, health: verdict.health, failure, ...parts })
}

export function short(sha: string): string {
  return sha.slice(0, 7)
}

export function running(sha: string | undefined): string {
  return sha === undefined ? 'nothing was up before' : `${short(sha)} runs on as before`
}
