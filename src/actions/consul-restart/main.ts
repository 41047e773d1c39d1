import { setFlagsFromString } from 'node:v8'
import { readJournal, readReleases } from '../../consul/journal.ts'
import type { Lease } from '../../consul/lease.ts'
import { readUpstream } from '../../consul/upstream.ts'
import type { Context } from '../../context.ts'
import { describeError } from '../../failure.ts'
import { NodeWork, type Trying } from '../../rollout/node-work.ts'
import { type Plan, planRollout } from '../../rollout/plan.ts'
import { progressLine } from '../../rollout/progress.ts'
import { type Recovered, recoverDrains } from '../../rollout/recovery.ts'
import { makeReport, type RolloutReport } from '../../rollout/report.ts'
import { runRollout } from '../../rollout/run.ts'
import { newRollout, type RolloutState } from '../../rollout/state.ts'
import type { Action } from '../../runner/action.ts'
import { defaultRelease } from '../../runner/github-context.ts'
import { runOnRunner } from '../../runner/runner-command.ts'
import { sessionsInState, settleDrains } from '../consul-settle.ts'
import {
  fleetOf,
  holderName,
  openWorld,
  requireNodes,
  requirePages,
  takeUpstreamLease,
  type World,
} from '../consul-world.ts'
import { showPlan } from './dry-run.ts'
import { type ConsulRestartInputs, readInputs } from './inputs.ts'
import { conclude } from './outcome.ts'

interface Job {
  readonly inputs: ConsulRestartInputs
  readonly world: World
  readonly release: string
  readonly holder: string
  /** The nodes to restart, in order. */
  readonly wanted: readonly string[]
  readonly context: Context
}

export const consulRestart: Action = {
  async main(run) {
    const inputs = run.inputs(readInputs)
    const { context } = run
    // Many connections make much short-lived garbage: what is collected late is held by a small runner.
    setFlagsFromString('--optimize-for-size')
    const release = inputs.release || defaultRelease(run.github)
    const world = await openWorld(inputs, context)
    try {
      requireNodes(world, inputs.nodes, inputs.upstream)
      const wanted = inputs.nodes.length > 0 ? inputs.nodes : [...world.nodes.keys()]
      await world.connections?.preflight(wanted)
      await requirePages(world, wanted, context)
      const job: Job = { inputs, world, release, holder: holderName(run.github), wanted, context }
      if (inputs.dryRun) return await showPlan(run, job)
      const lease = await takeUpstreamLease(world, inputs, job.holder, context, sessionsInState(run))
      try {
        await conclude(run, await rollOut(job, lease))
      } finally {
        // A cancelled run leaves the lease to the settle step, which goes on under it.
        if (!context.signal.aborted) await lease.release(context).catch(() => {})
      }
    } finally {
      await world.close()
    }
  },

  async settle(run, state) {
    const inputs = run.inputs(readInputs)
    const release = inputs.release || defaultRelease(run.github)
    await settleDrains(inputs, state, { release, holder: holderName(run.github) }, run.context)
  },
}

async function rollOut(job: Job, lease: Lease): Promise<RolloutReport> {
  const { inputs, world, release, holder, wanted, context } = job
  const { upstream, drainTimeoutMs, minLive } = inputs
  const fleet = fleetOf(world, inputs, { lease, holder }, { release, drainTimeoutMs, minLive })
  const startedAt = context.clock.monotonic()
  const left = (await readJournal(world.client, upstream, context)).filter(({ held }) => !held)
  const recovered = await recoverDrains(fleet, left, new Set(wanted), context)
  const plan = await makePlan(job, recovered)
  const adopted = recovered.filter(({ outcome }) => outcome === 'taken over').map(({ entry }) => entry)
  const { canary, restart, revert, onFailure } = inputs
  const work = new NodeWork(
    fleet,
    {
      ...{ restart, revert, adopted },
      before: await readReleases(world.client, upstream, context),
      canaries: plan.nodes.slice(0, canary).map(({ name }) => name),
      bakeMs: inputs.canaryBakeMs,
      tryOut: (which, node, trying) => tryOut(job, which, node, trying),
    },
    context,
  )
  const labels = new Map(plan.nodes.map(({ name, label }) => [name, label]))
  const trial = {
    size: canary,
    verifyDrained: inputs.verifyDrained !== '',
    bake: inputs.canaryBakeMs > 0,
    verify: inputs.verify !== '',
  }
  const start = newRollout({ minLive, batch: inputs.batch(wanted.length), ...plan, trial, onFailure })
  let shown = ''
  const onChange = (state: RolloutState) => {
    const line = progressLine(state)
    if (line !== shown) context.log.info(line)
    shown = line
  }
  const state = await runRollout(
    start,
    {
      worker: (piece, node, signal) => work.perform(piece, node, signal, labels.get(node)),
      handsOff: lease.lost,
      onChange,
      onFailure: (node, _, error) =>
        context.log.warn(`${labels.get(node)} | ${describeError(error).replaceAll('\n', ' ')}`),
    },
    context,
  )
  return makeReport({
    ...{ upstream, release, state, recovered },
    records: (address) => work.record(address),
    skipped: plan.skipped,
    releases: lease.lost.aborted
      ? new Map()
      : await readReleases(world.client, upstream, uncancelled(context)),
    durationMs: context.clock.monotonic() - startedAt,
  })
}

async function makePlan(
  { inputs, world, wanted, release, context }: Job,
  recovered: readonly Recovered[],
): Promise<Plan> {
  const { client } = world
  const { upstream } = inputs
  const plan = planRollout({
    nodes: await readUpstream(client, upstream, context),
    journal: await readJournal(client, upstream, context),
    releases: await readReleases(client, upstream, context),
    ...{ wanted, release, recovered },
  })
  for (const { address, reason } of plan.skipped) context.log.warn(`${address} is not restarted: ${reason}`)
  return plan
}

/** Tries a canary by the workflow's own command, on the runner. */
function tryOut(
  { inputs, release }: Job,
  which: Parameters<Trying>[0],
  { address, ip, port }: Parameters<Trying>[1],
  context: Context,
): Promise<void> {
  const command = which === 'verify' ? inputs.verify : inputs.verifyDrained
  const variables = {
    ...{ EVENKEEL_RELEASE: release, EVENKEEL_ADDRESS: address },
    ...{ EVENKEEL_IP: ip, EVENKEEL_PORT: String(port) },
  }
  return runOnRunner(which, command, variables, context)
}

function uncancelled(context: Context): Context {
  return { ...context, signal: new AbortController().signal }
}
