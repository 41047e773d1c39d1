import { undrainNode } from '../../consul/drain.ts'
import { type JournalEntry, readJournal } from '../../consul/journal.ts'
import type { Lease } from '../../consul/lease.ts'
import { Failure } from '../../failure.ts'
import { describeAnswer } from '../../health/poll.ts'
import { confirmIn, type Fleet, pollNode } from '../../rollout/fleet.ts'
import type { Action, Run } from '../../runner/action.ts'
import { defaultRelease } from '../../runner/github-context.ts'
import { plainMarkdown, writeSummary } from '../../runner/summary.ts'
import {
  fleetOf,
  holderName,
  openWorld,
  requirePages,
  takeUpstreamLease,
  type World,
} from '../consul-world.ts'
import { type ConsulUndrainInputs, readInputs } from './inputs.ts'

export const consulUndrain: Action = {
  async main(run) {
    const inputs = run.inputs(readInputs)
    const { context } = run
    const world = await openWorld(inputs, context)
    let lease: Lease | undefined
    try {
      if (inputs.dryRun) {
        const { address } = await findDrain(world, inputs, run)
        await requirePages(world, [address], context)
        return context.log.info(`dry run: ${address} would be put back, nothing was changed`)
      }
      const holder = holderName(run.github)
      lease = await takeUpstreamLease(world, inputs, holder, context)
      const entry = await findDrain(world, inputs, run)
      await requirePages(world, [entry.address], context)
      // A login that is refused is no sign of ill health: it is told at once, not polled until the time is over.
      if (world.health?.from === 'node' && world.connections?.has(entry.address)) {
        await world.connections.preflight([entry.address])
      }
      const more = { release: defaultRelease(run.github), drainTimeoutMs: 0, minLive: 0 }
      await bringBack(run, fleetOf(world, inputs, { lease, holder }, more), entry)
    } finally {
      await lease?.release(context).catch(() => {})
      await world.close()
    }
  },
}

async function findDrain(
  { client }: World,
  { drainId, node, upstream }: ConsulUndrainInputs,
  { context }: Run,
): Promise<JournalEntry> {
  const journal = await readJournal(client, upstream, context)
  const entry = journal.find(({ id }) => id === drainId)
  if (entry === undefined) {
    throw new Failure(`there is no drain ${drainId}`, {
      seen: `open drains of ${upstream}: ${journal.map(({ id, address }) => `${id} (${address})`).join(', ') || 'none'}`,
      state: 'nothing was changed.',
      hint: 'if the node was put back already there is nothing to do; else check `drain-id` and `upstream`',
    })
  }
  if (node !== undefined && node !== entry.address) {
    throw new Failure(`the drain ${drainId} is of ${entry.address}, not of ${node}`, {
      state: 'nothing was changed.',
      hint: 'correct `nodes` or `drain-id`',
    })
  }
  return entry
}

/** Puts the node back once it is well, and waits until the load balancers have it. */
async function bringBack(run: Run, fleet: Fleet, entry: JournalEntry): Promise<void> {
  const { context } = run
  const { address } = entry
  const result = await pollNode(fleet, address, context)
  if (result === undefined) context.log.warn('nothing was checked: no health check is given')
  else if (!result.healthy) {
    throw new Failure(`${address} is not healthy`, {
      seen: describeAnswer(result.last),
      state: 'it stays out, and its drain can still be undone by this drain-id.',
      hint: 'look at the log of the service on that node, then run this step again',
    })
  }
  await undrainNode(fleet.drains, entry, {}, context)
  context.log.info(`${address} is back in Consul`)
  run.output('changed', true)
  await confirmIn(fleet, address, context)
  run.output('report', JSON.stringify({ upstream: fleet.drains.upstream, address, drainId: entry.id }))
  await writeSummary(`### ${plainMarkdown(address)} is back in ${plainMarkdown(fleet.drains.upstream)}\n`)
}
