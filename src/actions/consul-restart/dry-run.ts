import { ownKeys, readJournal, readReleases } from '../../consul/journal.ts'
import { readEntry } from '../../consul/kv.ts'
import { holderOf } from '../../consul/lease.ts'
import type { Context } from '../../context.ts'
import { planRollout } from '../../rollout/plan.ts'
import type { Run } from '../../runner/action.ts'
import { markdownTable, plainMarkdown, writeSummary } from '../../runner/summary.ts'
import type { World } from '../consul-world.ts'
import type { ConsulRestartInputs } from './inputs.ts'

/** Reads how things stand and tells what a run would do. Writes nothing. */
export async function showPlan(
  run: Run,
  job: {
    inputs: ConsulRestartInputs
    world: World
    release: string
    wanted: readonly string[]
    context: Context
  },
): Promise<void> {
  const { inputs, world, release, wanted, context } = job
  const { client, nodes } = world
  const { upstream } = inputs
  const journal = await readJournal(client, upstream, context)
  const releases = await readReleases(client, upstream, context)
  const plan = planRollout({ nodes, wanted, journal, releases, release, recovered: [] })
  const lock = await readEntry(client, ownKeys(upstream).lock, context)
  const holder = lock?.session === undefined ? undefined : holderOf(lock.value)
  const abandoned = journal.filter(({ held, holder: who }) => !held && who !== holder)
  const rows = [...nodes.values()].map(({ address, down, owner }) => {
    const skipped = plan.skipped.find((one) => one.address === address)
    const plannedAt = plan.nodes.findIndex(({ name }) => name === address)
    const takenOver = abandoned.some((entry) => entry.address === address)
    const todo = takenOver
      ? 'an abandoned drain: put back or taken over'
      : plannedAt >= 0
        ? `restart (${plannedAt + 1}${plannedAt < inputs.canary ? ', canary' : ''})`
        : (skipped?.reason ?? 'not in `nodes`')
    return [
      address,
      down ? (owner === undefined ? 'drained by somebody' : 'drained by Evenkeel') : 'in',
      releases.get(address) ?? 'unknown',
      todo,
    ]
  })
  for (const row of rows) context.log.info(row.join(' | '))
  if (holder !== undefined) context.log.warn('another run holds the lease of this upstream now')
  for (const { address, holder: who } of abandoned) {
    context.log.warn(`${address} is drained without a living lease (left by ${who})`)
  }
  const live = [...nodes.values()].filter(({ down }) => !down).length
  if (plan.nodes.length > 0 && live - 1 < inputs.minLive) {
    context.log.warn(`only ${live} nodes are in: no drain could hold the floor of ${inputs.minLive}`)
  }
  run.output('updated', '')
  run.output('failed', '')
  run.output('skipped', plan.skipped.map(({ address }) => address).join(','))
  const planned = plan.nodes.map(({ name }) => name)
  run.output(
    'report',
    JSON.stringify({
      ...{ upstream, release, dryRun: true, planned, skipped: plan.skipped },
      abandoned: abandoned.map(({ address, id, holder: who, step }) => ({ address, id, holder: who, step })),
      releases: Object.fromEntries(releases),
    }),
  )
  await writeSummary(
    `### Plan for ${plainMarkdown(upstream)}, release ${plainMarkdown(release)} (dry run: nothing was changed)\n\n${markdownTable(['node', 'state', 'release', 'what would be done'], rows)}\n`,
  )
}
