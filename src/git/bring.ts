import { Failure } from '../failure.ts'
import { NotStarted } from '../ssh/unit.ts'
import type { HostDeploy } from './deploy.ts'
import type { HostOutcome } from './plan.ts'
import { NotWritten } from './record.ts'
import { type Verdict, withDisk } from './verdict.ts'

/** Brings the commit to one host whose lock is held; never throws for a failed deploy, the outcome tells it. */
export async function bringCommit(host: HostDeploy): Promise<HostOutcome> {
  const { plan, context } = host
  const { log } = context
  const unchanged = await upAlready(host)
  if (unchanged !== undefined) return unchanged
  log.info(
    `bringing ${short(plan.sha)}${host.before === undefined ? '' : `, up before: ${short(host.before)}`}`,
  )
  const unit = await host.bring().catch(notStarted)
  if (unit instanceof NotStarted) {
    const runs = host.before ?? null
    return host.outcome({ result: 'interrupted', runs, changed: false, health: 'not asked', failure: unit })
  }
  const verdict = await host.judge(unit)
  return verdict.good ? goodDeploy(host, verdict) : failedDeploy(host, verdict)
}

function notStarted(error: unknown): NotStarted {
  if (error instanceof NotStarted) return error
  throw error
}

/** The outcome of a commit that is up: it stays so where the history cannot be written. */
export async function goodDeploy(host: HostDeploy, { health }: Verdict): Promise<HostOutcome> {
  const failure = await recorded(host, 'ok', host.head)
  host.context.log.info(`${short(host.plan.sha)} is up (health: ${health})`)
  return host.outcome({ result: 'ok', runs: host.head, health, failure })
}

/** Writes the history; resolves with what has kept it from being written. */
async function recorded(
  host: HostDeploy,
  ...line: Parameters<HostDeploy['record']>
): Promise<Failure | undefined> {
  try {
    await host.record(...line)
    return undefined
  } catch (error) {
    if (error instanceof NotWritten) return error
    throw error
  }
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
    const unwritten = await recorded(host, 'interrupted', before, verdict.what)
    return conclude(host, verdict, before, {
      rolledBack: false,
      state: `the checkout could not be changed: ${running(before)}.`,
      hint: 'move what is in the way (a file, a full disk, a folder of another user) and run the job again',
      unwritten,
    })
  }
  if (plan.onFailure === 'stop' || wayBack === undefined) {
    // Until `up` begins, what was up before still is.
    const runs = verdict.phase === 'build' ? before : undefined
    const unwritten = await recorded(host, 'failed', runs, verdict.what)
    const why =
      plan.onFailure === 'stop' ? '`on-failure` is stop' : 'there is no earlier good commit to go back to'
    return conclude(host, verdict, runs, {
      rolledBack: false,
      state: `${short(plan.sha)} is checked out and left as it is, since ${why}; ${runs === undefined ? 'what runs is not known' : running(runs)}.`,
      hint: `log in and look; the whole log is ${host.logPath}`,
      unwritten,
    })
  }
  return goBack(host, wayBack, verdict)
}

/** Checks out, builds and brings up an earlier commit, asks for health again, and tells how it came out. */
export async function goBack(host: HostDeploy, to: string, verdict: Verdict): Promise<HostOutcome> {
  const { context } = host
  const logPath = host.logPath
  context.log.info(`going back to ${short(to)}`)
  const back = await tryBack(host, to)
  if (back.good) {
    const unwritten = await recorded(host, 'failed', to, verdict.what)
    const health = back.health === 'not checked' ? '' : `, health: ${back.health}`
    return conclude(host, verdict, to, {
      rolledBack: true,
      logPath,
      health: back.health,
      state: `back at ${short(to)}: built and brought up again${health}.`,
      hint: `correct the commit and deploy the next one; the whole log is ${logPath}`,
      unwritten,
    })
  }
  const runs = runsOn(host, verdict, back)
  const unwritten = await recorded(
    host,
    'failed',
    runs,
    `${verdict.what}; then, on the way back: ${back.what}`,
  )
  const log = back.phase === '' ? '' : `, that of the way back ${host.logPath}`
  const what = runs === undefined ? 'What runs is not known' : `\`up\` did not begin: ${running(runs)}`
  return conclude(host, { ...verdict, hint: verdict.hint ?? back.hint }, runs, {
    rolledBack: false,
    logPath,
    state: `the way back to ${short(to)} failed too: ${back.what}. ${what}.\n  ${back.seen}`,
    hint: `log in now and look; the whole log is ${logPath}${log}`,
    unwritten,
  })
}

/** How the way back came out; its phase is '' where it could not begin. */
async function tryBack(host: HostDeploy, to: string): Promise<Verdict> {
  const unit = await host.back(to).catch(notStarted)
  if (!(unit instanceof NotStarted)) return host.judge(unit)
  const { message, details } = unit
  const verdict = { good: false, phase: '', what: message, seen: details.seen ?? '', health: 'not asked' }
  return withDisk(verdict, host.server, host.path)
}

/** The commit that is up as before, where neither the deploy nor the way back has come to its `up`. */
function runsOn({ before, head }: HostDeploy, verdict: Verdict, back: Verdict): string | undefined {
  if (back.phase === 'up' || back.phase === 'health') return undefined
  if (verdict.phase === 'fleet') return head
  return verdict.phase === 'build' ? before : undefined
}

function conclude(
  host: HostDeploy,
  verdict: Verdict,
  runs: string | null | undefined,
  {
    state,
    hint,
    unwritten,
    ...parts
  }: {
    state: string
    hint: string
    unwritten: Failure | undefined
    rolledBack: boolean
    logPath?: string
    health?: string
  },
): HostOutcome {
  const failure = new Failure(verdict.what, {
    host: host.server.name,
    seen: verdict.seen,
    state: unwritten === undefined ? state : `${state}\n  ${unwritten.message}: ${unwritten.details.seen}`,
    hint: verdict.hint === undefined ? hint : `${verdict.hint}, then ${hint}`,
  })
  const result = verdict.phase === 'checkout' ? 'interrupted' : 'failed'
  return host.outcome({ result, runs: runs ?? null, health: verdict.health, failure, ...parts })
}

export function short(sha: string): string {
  return sha.slice(0, 7)
}

export function running(sha: string | undefined): string {
  return sha === undefined ? 'nothing was up before' : `${short(sha)} runs on as before`
}
