import type { Context } from '../context.ts'
import { describeAnswer } from '../health/poll.ts'
import type { Reconnecting } from '../ssh/reconnecting.ts'
import type { UnitResult } from '../ssh/unit.ts'
import type { DeployPlan } from './plan.ts'

/** How a unit and the health check after it came out. */
export interface Verdict {
  readonly good: boolean
  readonly phase: string
  /** For example `build failed with exit code 2`. */
  readonly what: string
  readonly seen: string
  readonly health: string
}

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
    return { good: false, phase, what: describeUnit(unit, timeoutMs), seen, health: 'not asked' }
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
