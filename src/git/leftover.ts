import { attachUnit, cancelUnit, type UnitResult } from '../ssh/unit.ts'
import { failedDeploy, goBack, goodDeploy, running, short } from './bring.ts'
import type { HostDeploy } from './deploy.ts'
import type { HostOutcome } from './plan.ts'

/** Between two looks at a unit of somebody else, in ms. */
const PAUSE_MS = 1_000

/**
 * Clears away what a deploy that is gone has left: its build is ended, its `up` is waited for (its own timeout ends
 * it), and the history says that it was interrupted.
 */
export async function takeOver(host: HostDeploy): Promise<void> {
  const { context, server } = host
  const { log, clock, signal } = context
  if (host.found.busy) {
    log.info(`an earlier deploy was cut off; its work goes on there (${host.found.phase})`)
    const until = clock.monotonic() + host.plan.reconnectGraceMs - host.silentMs
    while (host.found.busy && clock.monotonic() < until) {
      await clock.sleep(PAUSE_MS, signal)
      await host.look()
    }
  }
  const { journal } = host.found
  if (journal === undefined) return
  const unit = { folder: host.folder, name: journal.unit }
  if (host.found.busy) await cancelUnit(server, unit, ['build'])
  const result = await attachUnit(server, unit, (line) => log.debug(line), context)
  log.info(`the deploy of ${short(journal.sha)} by ${journal.run} was cut off: ${describe(result)}`)
  const up = journal.purpose === 'deploy' ? journal.sha : journal.wayBack
  const runs = result?.outcome === 'ok' ? up : startedUp(result) ? undefined : journal.previous
  await host.record('interrupted', runs ?? undefined, `its runner was lost; ${describe(result)}`, journal)
  await host.look()
}

/**
 * Brings this deploy itself to its end after its runner was cancelled or killed; undefined when another has taken
 * care of it. Build: ended, and the checkout goes back. Up: as `on-failure` says.
 */
export async function finishDeploy(host: HostDeploy): Promise<HostOutcome | undefined> {
  const { plan, context, server } = host
  const { journal } = host.found
  if (journal?.id !== plan.id) return undefined
  const unit = { folder: host.folder, name: journal.unit }
  const onLine = (line: string) => context.log.info(line)
  const rollback = plan.onFailure === 'rollback'
  if (journal.purpose === 'rollback') {
    const result = await attachUnit(server, unit, onLine, context)
    const why = {
      good: false,
      phase: 'up',
      what: 'the deploy was cut off on its way back',
      seen: '',
      health: '',
    }
    const to = journal.wayBack
    if (to === null) return undefined
    const back = result && (await host.judge(result))
    if (back?.good !== true) return goBack(host, to, why)
    await host.record('failed', to, why.what)
    return host.outcome({ result: 'failed', runs: to, rolledBack: true, health: back.health })
  }
  if (host.found.busy) {
    await cancelUnit(server, unit, rollback ? ['build', 'up'] : ['build'])
    if (host.found.phase === 'up' && !rollback) context.log.info('waiting for `up` to end')
  }
  const result = await attachUnit(server, unit, () => {}, context)
  if (result === undefined || (result.outcome === 'cancelled' && !startedUp(result))) {
    return cancelledBuild(host, journal.previous ?? undefined)
  }
  await host.noteHead(result)
  const verdict = await host.judge(result)
  return verdict.good ? goodDeploy(host, verdict) : failedDeploy(host, verdict)
}

/** `up` never began: what was up before still is, and gets its files back. */
async function cancelledBuild(host: HostDeploy, before: string | undefined): Promise<HostOutcome> {
  const back = host.plan.onFailure === 'rollback' && before !== undefined
  if (back) await host.back(before, { bare: true })
  await host.record('cancelled', before, 'cancelled before `up` began')
  host.context.log.info(`${running(before)}${back ? ', and its files are checked out again' : ''}`)
  return host.outcome({ result: 'cancelled', runs: before ?? null, rolledBack: back, health: 'not asked' })
}

function startedUp(result: UnitResult | undefined): boolean {
  return (
    result !== undefined && result.phase === 'up' && !(result.outcome === 'cancelled' && result.code === 0)
  )
}

function describe(result: UnitResult | undefined): string {
  if (result === undefined) return 'it had not begun'
  const { outcome, phase, code } = result
  return outcome === 'ok' ? 'its commands have ended well' : `${phase}: ${outcome} (${code})`
}
