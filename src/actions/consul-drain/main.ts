import { noteStep } from '../../consul/drain.ts'
import type { JournalEntry } from '../../consul/journal.ts'
import type { Lease } from '../../consul/lease.ts'
import { type Context, throwIfCancelled } from '../../context.ts'
import { describeError, Failure } from '../../failure.ts'
import type { Fleet } from '../../rollout/fleet.ts'
import { NodeWork } from '../../rollout/node-work.ts'
import type { Action, Run } from '../../runner/action.ts'
import { defaultRelease } from '../../runner/github-context.ts'
import { plainMarkdown, writeSummary } from '../../runner/summary.ts'
import { sessionsInState, settleDrains } from '../consul-settle.ts'
import {
  fleetOf,
  holderName,
  openWorld,
  requireNodes,
  requirePages,
  takeUpstreamLease,
} from '../consul-world.ts'
import { readInputs } from './inputs.ts'

/** What putting the node back may take after a cancel, before the runner ends the process. */
const PUT_BACK_WITHIN_MS = 6_500

export const consulDrain: Action = {
  async main(run) {
    const inputs = run.inputs(readInputs)
    const { context } = run
    const { node, upstream, drainTimeoutMs, minLive } = inputs
    const world = await openWorld(inputs, context)
    try {
      requireNodes(world, [node], upstream)
      await requirePages(world, [node], context)
      if (world.connections?.has(node)) await world.connections.preflight([node])
      if (inputs.dryRun) return showPlan(run, world.nodes.get(node)?.down === true, node)
      const holder = holderName(run.github)
      const lease = await takeUpstreamLease(world, inputs, holder, context, sessionsInState(run))
      try {
        const release = defaultRelease(run.github)
        const fleet = fleetOf(world, inputs, { lease, holder }, { release, drainTimeoutMs, minLive })
        await takeOut(run, fleet, lease, node)
      } finally {
        if (!context.signal.aborted) await lease.release(context).catch(() => {})
      }
    } finally {
      await world.close()
    }
  },

  async settle(run, state) {
    const inputs = run.inputs(readInputs)
    const more = { release: defaultRelease(run.github), holder: holderName(run.github) }
    await settleDrains(inputs, state, more, run.context)
  },
}

/** Drains and proves it; what fails or is cancelled on the way is undone. From the end on the drain is kept. */
async function takeOut(run: Run, fleet: Fleet, lease: Lease, node: string): Promise<void> {
  const { context } = run
  const work = new NodeWork(fleet, undefined, context)
  const signal = AbortSignal.any([context.signal, lease.lost])
  let kept: JournalEntry
  try {
    for (const piece of ['drain', 'prove', 'quiet'] as const) await work.perform(piece, node, signal)
    const { entry } = work.record(node)
    if (entry === undefined) throw new TypeError('drained without an entry')
    throwIfCancelled(context.signal)
    kept = await noteStep(fleet.drains, entry, 'drained', { held: true }, context)
  } catch (error) {
    await putBack(work, node, lease, context)
    throw error
  }
  const { quiet, drainVerified } = work.record(node)
  run.output('drain-id', kept.id)
  const report = {
    ...{ upstream: fleet.drains.upstream, address: node, drainId: kept.id, drainVerified },
    inFlightLeft: quiet?.left ?? 'unobservable',
  }
  run.output('report', JSON.stringify(report))
  const verified = drainVerified ? 'proven at the load balancers' : 'UNVERIFIED (no `lb-status`)'
  await writeSummary(
    `### ${plainMarkdown(node)} is out of ${plainMarkdown(report.upstream)}\n\nDrain ${plainMarkdown(kept.id)}, ${verified}; requests in flight at its end: ${report.inFlightLeft}. It stays out until consul-undrain gets this id.\n`,
  )
}

async function putBack(work: NodeWork, node: string, lease: Lease, { log }: Context): Promise<void> {
  if (lease.lost.aborted) return
  try {
    await work.perform('undrain', node, AbortSignal.timeout(PUT_BACK_WITHIN_MS))
  } catch (error) {
    log.warn(`${node} was not put back: ${describeError(error).replaceAll('\n', ' ')}`)
  }
}

function showPlan(run: Run, down: boolean, node: string): void {
  if (down) throw new Failure(`${node} is already drained`, { state: 'dry run: nothing was changed.' })
  run.context.log.info(`dry run: ${node} would be taken out, nothing was changed`)
}
