import type { JournalEntry } from '../consul/journal.ts'
import type { UpstreamNode } from '../consul/upstream.ts'
import type { Recovered } from './recovery.ts'
import type { Beginning } from './state.ts'

export interface Skipped {
  readonly address: string
  readonly reason: string
}

/** Which nodes are to be restarted, in order, from where, and which are not. */
export interface Plan {
  readonly nodes: readonly { readonly name: string; readonly beginning: Beginning; readonly label: string }[]
  readonly skipped: readonly Skipped[]
  /** Nodes that serve and that the rollout does not touch. */
  readonly liveOutside: number
}

/** Makes the plan. Nodes that are out already come first: they cost the others nothing. Pure. */
export function planRollout(world: {
  nodes: ReadonlyMap<string, UpstreamNode>
  wanted: readonly string[]
  journal: readonly JournalEntry[]
  releases: ReadonlyMap<string, string>
  release: string
  recovered: readonly Recovered[]
}): Plan {
  const { nodes, wanted, journal, releases, release, recovered } = world
  const out: { name: string; beginning: Beginning }[] = []
  const within: typeof out = []
  const skipped: Skipped[] = []
  for (const address of wanted) {
    const node = nodes.get(address)
    const taken = recovered.find(({ entry }) => entry.address === address)
    if (taken?.outcome === 'taken over') {
      out.push({ name: address, beginning: taken.beginning ?? 'out' })
    } else if (taken?.outcome === 'left out') {
      skipped.push({ address, reason: `left out by an earlier run and not put right: ${taken.reason}` })
    } else if (node?.down || node?.owner !== undefined) {
      skipped.push({ address, reason: drainReason(journal.find((entry) => entry.address === address)) })
    } else if (releases.get(address) === release) {
      skipped.push({ address, reason: 'it has this release already' })
    } else {
      within.push({ name: address, beginning: 'in' })
    }
  }
  const planned = new Set([...out, ...within].map(({ name }) => name))
  const liveOutside = [...nodes.values()].filter(({ address, down }) => !down && !planned.has(address)).length
  const ordered = [...out, ...within]
  const labelled = ordered.map((node, index) => ({
    ...node,
    label: `${index + 1}/${ordered.length} ${node.name}`,
  }))
  return { nodes: labelled, skipped, liveOutside }
}

function drainReason(entry: JournalEntry | undefined): string {
  if (entry === undefined) return 'somebody has drained it: that drain is left alone, and so is the node'
  if (entry.held) return `the drain ${entry.id} holds it out: consul-undrain puts it back`
  return `an earlier run (${entry.holder}) has left it out`
}

/** How many nodes at a time: a number, or a percentage of all, rounded down, at least one. Undefined: neither. */
export function parseBatch(text: string): ((nodes: number) => number) | undefined {
  const match = /^([1-9]\d{0,3})(%?)$/.exec(text)
  if (!match) return undefined
  const amount = Number(match[1])
  if (match[2] === '') return () => amount
  return amount > 100 ? undefined : (nodes) => Math.max(1, Math.floor((nodes * amount) / 100))
}
