import type { Context } from '../context.ts'
import { describeAnswer } from '../health/poll.ts'
import type { Reconnecting } from '../ssh/reconnecting.ts'
import type { UnitResult } from '../ssh/unit.ts'
import type { DeployPlan } from './plan.ts'
import { survey } from './survey.ts'

/** How a unit and the health check after it came out. */
export interface Verdict {
  readonly good: boolean
  readonly phase: string
  /** For example `build failed with exit code 2`. */
  readonly what: string
  readonly seen: string
  readonly health: string
  /** What else is to be done about it. */
  readonly hint?: string | undefined
}

/** Below this, in KiB, it is the disk that keeps things from working. */
const FULL_KIB = 1024

/** Judges how a unit ended and, when it went well, asks for the health of the app at `path`. */
export async function judgeUnit(
  unit: UnitResult,
  { health, timeoutMs }: DeployPlan,
  server: Reconnecting,
  path: string,
  context: Context,
): Promise<Verdict> {
  const { phase } = unit
  if (unit.outcome !== 'ok') {
    const seen = unit.lastLines.join('\n  ')
    const what = describeUnit(unit, timeoutMs)
    return withDisk({ good: false, phase, what, seen, health: 'not asked' }, server, path)
  }
  if (health === undefined) {
    context.log.info('no health check is configured: nothing was checked')
    return { good: true, phase, what: '', seen: '', health: 'not checked' }
  }
  const polled = await health(server, path, context)
  const answer = describeAnswer(polled.last)
  if (polled.healthy) return { good: true, phase, what: '', seen: '', health: answer }
  const what = `not healthy after ${polled.attempts} probes in ${Math.round(polled.durationMs)} ms`
  const log = unit.lastLines.length > 0 ? `; last lines of the log:\n  ${unit.lastLines.join('\n  ')}` : ''
  return { good: false, phase: 'health', what, seen: `${answer}${log}`, health: answer }
}

/** Says how little room there is, in a bad verdict, where the disk is full: the log lacks its last lines then. */
export async function withDisk(verdict: Verdict, server: Reconnecting, path: string): Promise<Verdict> {
  const found = await survey(server.connection, path).catch(() => undefined)
  if (found === undefined || found.freeKiB >= FULL_KIB) return verdict
  const full = `the disk is full: ${found.freeKiB} KiB are free at '${path}'`
  const seen = verdict.seen === '' ? full : `${verdict.seen}\n  ${full}`
  return { ...verdict, seen, hint: 'free some space there' }
}

function describeUnit({ outcome, phase, code }: UnitResult, timeoutMs: number): string {
  switch (outcome) {
    case 'timeout':
      return `\`${phase}\` did not end within ${timeoutMs} ms and was ended`
    case 'cancelled':
      return `\`${phase}\` was cancelled`
    case 'lost':
      return `\`${phase}\` ended without a result: the server was restarted, or its disk is full`
    default:
      return `\`${phase}\` failed with exit code ${code}${code > 128 ? ` (as after signal ${code - 128})` : ''}`
  }
}
