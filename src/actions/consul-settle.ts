import { ownKeys, readJournal } from '../consul/journal.ts'
import { adoptLease, type Lease, takeLease } from '../consul/lease.ts'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { recoverDrains } from '../rollout/recovery.ts'
import type { Run } from '../runner/action.ts'
import type { ConsulInputs } from './consul-inputs.ts'
import { fleetOf, openWorld } from './consul-world.ts'

/** What main notes for the settle step. */
export interface ConsulState {
  /** The sessions that have held the lease, the last one last. */
  readonly sessions: readonly string[]
}

/** Notes each session of the lease for the settle step. */
export function sessionsInState(run: Run): (session: string) => void {
  const sessions: string[] = []
  return (session) => {
    sessions.push(session)
    run.saveState({ sessions } satisfies ConsulState)
  }
}

/**
 * Puts back what a cancelled or killed main step has left out: goes on under that step's own lease, or waits for it to
 * end. Nodes that are not well stay out.
 */
export async function settleDrains(
  inputs: ConsulInputs,
  state: unknown,
  more: { release: string; holder: string },
  context: Context,
): Promise<void> {
  const { sessions } = state as ConsulState
  const world = await openWorld(inputs, context)
  let lease: Lease | undefined
  try {
    const journal = await readJournal(world.client, inputs.upstream, context)
    const mine = (entry: { held: boolean; session: string }) =>
      !entry.held && sessions.includes(entry.session)
    const lockKey = ownKeys(inputs.upstream).lock
    const ttlMs = inputs.leaseTtlMs
    const options = { lockKey, holder: more.holder, ttlMs, waitMs: ttlMs * 2 }
    lease = await adoptLease(world.client, options, sessions.at(-1) ?? '', context)
    if (!journal.some(mine)) return context.log.info('no node was left out')
    lease ??= await takeLease(world.client, options, context)
    // Another run may have put them right while we waited.
    const entries = (await readJournal(world.client, inputs.upstream, context)).filter(mine)
    const fleet = fleetOf(
      world,
      inputs,
      { lease, holder: more.holder },
      { ...more, drainTimeoutMs: 0, minLive: 0 },
    )
    const recovered = await recoverDrains(fleet, entries, new Set(), context)
    const left = recovered.filter(({ outcome }) => outcome === 'left out')
    if (left.length === 0) return
    throw new Failure('some nodes stay out', {
      seen: left.map(({ entry, reason }) => `${entry.address}: ${reason}`).join('; '),
      state: 'the other nodes serve.',
      hint: 'see why they are not healthy, then run the job again: it takes them over',
    })
  } finally {
    await lease?.release(context).catch(() => {})
    await world.close()
  }
}
