import { noteStep, undrainNode } from '../consul/drain.ts'
import type { JournalEntry } from '../consul/journal.ts'
import { type Context, prefixedLog, throwIfCancelled } from '../context.ts'
import { describeError } from '../failure.ts'
import { describeAnswer } from '../health/poll.ts'
import { confirmIn, type Fleet, pollNode } from './fleet.ts'
import { awaitRestart } from './restart.ts'
import type { Beginning } from './state.ts'

/** A drain that a run has left behind, and what has become of it. */
export interface Recovered {
  readonly entry: JournalEntry
  /** `taken over`: this rollout goes on with the node from `beginning`. */
  readonly outcome: 'restored' | 'taken over' | 'left out'
  readonly beginning?: Beginning
  readonly reason: string
}

/** A node that an earlier run had not got to is well at once or not at all. */
const SHORT_LOOK_MS = 10_000
/** One that gets restarted now is not waited for: it is out already. */
const GLANCE_MS = 3_000

/**
 * Deals with drains whose run is over, one after the other: a node that is well goes back; one that is not stays out,
 * or is taken over by this rollout where `planned` holds it. The lease must be held.
 */
export async function recoverDrains(
  fleet: Fleet,
  entries: readonly JournalEntry[],
  planned: ReadonlySet<string>,
  context: Context,
): Promise<Recovered[]> {
  const recovered: Recovered[] = []
  for (const [index, entry] of entries.entries()) {
    const name = `left out ${index + 1}/${entries.length} ${entry.address}`
    const nodeContext = { ...context, log: prefixedLog(context.log, name) }
    nodeContext.log.warn(`an earlier run (${entry.holder}) has left this node out, ${describeStep(entry)}`)
    const one = await recoverDrain(fleet, entry, planned.has(entry.address), nodeContext)
    nodeContext.log.info(`${one.outcome}: ${one.reason}`)
    recovered.push(one)
  }
  return recovered
}

async function recoverDrain(
  fleet: Fleet,
  found: JournalEntry,
  planned: boolean,
  context: Context,
): Promise<Recovered> {
  let entry = found
  try {
    entry = await knowStep(fleet, found, context)
    const { step, address } = entry
    if (planned && entry.release === fleet.release && step !== 'drained') {
      const restarted = step === 'restarted'
      const reason = restarted ? 'it has this release already' : 'its restart was not done'
      return { entry, outcome: 'taken over', beginning: restarted ? 'restarted' : 'out', reason }
    }
    if (step === 'failed') {
      const reason = 'what was done to it had failed'
      return planned
        ? { entry, outcome: 'taken over', beginning: 'out', reason }
        : { entry, outcome: 'left out', reason }
    }
    const longestMs = planned ? GLANCE_MS : step === 'drained' ? SHORT_LOOK_MS : undefined
    const result = await pollNode(fleet, address, context, longestMs)
    const well = result?.healthy ?? (step === 'drained' || step === 'restarted')
    const seen = result ? describeAnswer(result.last) : 'nothing was checked'
    if (well) {
      await undrainNode(fleet.drains, entry, step === 'restarted' ? { release: entry.release } : {}, context)
      await confirmIn(fleet, address, context)
      return { entry, outcome: 'restored', reason: seen }
    }
    if (planned) return { entry, outcome: 'taken over', beginning: 'out', reason: seen }
    return { entry, outcome: 'left out', reason: seen }
  } catch (error) {
    throwIfCancelled(context.signal)
    fleet.drains.lease.assertHeld()
    return { entry, outcome: 'left out', reason: describeError(error).replaceAll('\n', ' ') }
  }
}

/**
 * Finds out what became of a restart that the earlier run had begun: one that still runs is waited for, since the
 * process that answers now may be the one that is about to be ended; one that has not begun never will.
 */
async function knowStep(
  { drains, connections }: Fleet,
  entry: JournalEntry,
  context: Context,
): Promise<JournalEntry> {
  const { address, unit, step } = entry
  if (step !== 'restarting' || unit === undefined || !connections?.has(address)) return entry
  const { upstream, lease } = drains
  const node = { upstream, address, fence: lease.fence }
  const { outcome, seen } = await awaitRestart(await connections.server(address), node, unit, context)
  context.log.info(`its restart: ${seen}`)
  switch (outcome) {
    case 'ok':
      return noteStep(drains, entry, 'restarted', {}, context)
    case 'absent':
    case 'lost':
      return entry
    default:
      return noteStep(drains, entry, 'failed', {}, context)
  }
}

function describeStep({ step, release }: JournalEntry): string {
  switch (step) {
    case 'drained':
      return 'not restarted'
    case 'restarting':
      return `in the middle of its restart to ${release}`
    case 'restarted':
      return `restarted to ${release}`
    case 'failed':
      return `its restart to ${release} had failed`
  }
}
