import { formatDuration } from '../duration.ts'
import type { NodeRecord } from './node-work.ts'
import type { Skipped } from './plan.ts'
import type { Recovered } from './recovery.ts'
import type { NodeState, RolloutState, Work } from './state.ts'

/** What became of one node. */
export type NodeOutcome = 'updated' | 'reverted' | 'failed' | 'untouched' | 'put back' | 'skipped'

export interface NodeReport {
  /** Its number and address; the number tells nodes apart where addresses are masked. */
  readonly label: string
  readonly address: string
  readonly outcome: NodeOutcome
  /** Whether the node was out of the pool at the end. */
  readonly out: boolean
  readonly reason?: string
  /** False where no load balancer could be asked. */
  readonly drainVerified?: boolean
  /** Requests at work when `drain-timeout` was over; `unobservable` where the node's sockets cannot be seen. */
  readonly inFlightLeft?: number | 'unobservable'
  readonly lastAnswer?: string
  /** Milliseconds since the start at which each piece of work ended, and how long it took. */
  readonly timeline: Readonly<Partial<Record<Moment, { readonly at: number; readonly ms: number }>>>
}

const MOMENTS = {
  drain: 'drained',
  prove: 'proven',
  quiet: 'quiet',
  restart: 'restarted',
  revert: 'reverted',
  check: 'healthy',
  'verify-drained': 'tried while out',
  undrain: 'undrained',
  confirm: 'confirmed',
  bake: 'watched',
  verify: 'tried',
} as const satisfies Record<Work, string>

export type Moment = (typeof MOMENTS)[Work]

export interface RolloutReport {
  readonly upstream: string
  readonly release: string
  readonly updated: readonly string[]
  readonly failed: readonly string[]
  /** Taken back to what they ran before, and serving. */
  readonly reverted: readonly string[]
  readonly skipped: readonly string[]
  readonly stopped?: string
  /** Why the way back to what ran before was not gone to its end. */
  readonly backStopped?: string
  readonly durationMs: number
  readonly nodes: readonly NodeReport[]
  /** Drains that earlier runs had left behind. */
  readonly recovered: readonly {
    readonly address: string
    readonly outcome: string
    readonly reason: string
  }[]
  /** Which nodes have which release, as far as Consul knows. */
  readonly releases: Readonly<Record<string, readonly string[]>>
}

/** Puts together what is told about a rollout that has ended. Pure. */
export function makeReport(about: {
  upstream: string
  release: string
  state: RolloutState
  records: (address: string) => NodeRecord
  skipped: readonly Skipped[]
  recovered: readonly Recovered[]
  releases: ReadonlyMap<string, string>
  durationMs: number
}): RolloutReport {
  const { state, records, skipped, recovered } = about
  const nodes: NodeReport[] = [...state.nodes].map(([address, node]) => nodeReport(node, records(address)))
  for (const { address, reason } of skipped) {
    nodes.push({ label: address, address, outcome: 'skipped', out: false, reason, timeline: {} })
  }
  const having = (outcome: NodeOutcome) =>
    nodes.filter((node) => node.outcome === outcome).map(({ address }) => address)
  const releases: Record<string, string[]> = {}
  for (const [address, release] of about.releases) {
    releases[release] = [...(releases[release] ?? []), address]
  }
  return {
    upstream: about.upstream,
    release: about.release,
    ...{ updated: having('updated'), reverted: having('reverted'), skipped: having('skipped') },
    failed: nodes
      .filter(({ outcome, reason }) => reason && outcome !== 'skipped')
      .map(({ address }) => address),
    ...(state.stopped === undefined ? {} : { stopped: whyStopped(state.stopped, state.handsOff) }),
    ...(state.goingBack && state.backStopped ? { backStopped: state.backStopped } : {}),
    durationMs: Math.round(about.durationMs),
    nodes,
    recovered: recovered.map(({ entry, outcome, reason }) => ({ address: entry.address, outcome, reason })),
    releases,
  }
}

/** What came first, and why nothing could be put right after it. */
function whyStopped(stopped: string, handsOff: string | undefined): string {
  return handsOff === undefined || handsOff === stopped ? stopped : `${stopped}; then: ${handsOff}`
}

function nodeReport(node: NodeState, record: NodeRecord): NodeReport {
  const timeline: NodeReport['timeline'] = Object.fromEntries(
    Object.entries(record.times).map(([work, { at, ms }]) => [
      MOMENTS[work as Work],
      { at: Math.round(at), ms: Math.round(ms) },
    ]),
  )
  const { quiet, drainVerified, lastAnswer, address } = record
  return {
    label: node.label,
    address,
    outcome: outcomeOf(node),
    out: node.out,
    ...(node.failure === undefined ? {} : { reason: node.failure }),
    ...(drainVerified === undefined ? {} : { drainVerified }),
    ...(quiet === undefined ? {} : { inFlightLeft: quiet.left ?? 'unobservable' }),
    ...(lastAnswer === undefined ? {} : { lastAnswer }),
    timeline,
  }
}

function outcomeOf({ phase, failure, restarted, healthy, reverting, out }: NodeState): NodeOutcome {
  if (phase === 'waiting') return 'untouched'
  if (reverting) return healthy && !out ? 'reverted' : 'failed'
  if (failure !== undefined) return 'failed'
  return restarted && healthy ? 'updated' : 'put back'
}

/** The rows of the summary's table, with their header. */
export function reportTable({ nodes }: RolloutReport): { header: string[]; rows: string[][] } {
  const always: readonly Moment[] = (['drain', 'prove', 'quiet', 'restart', 'check', 'undrain'] as const).map(
    (work) => MOMENTS[work],
  )
  const moments = Object.values(MOMENTS).filter(
    (moment) => always.includes(moment) || nodes.some(({ timeline }) => timeline[moment] !== undefined),
  )
  const header = ['', 'node', 'outcome', ...moments, 'remarks']
  const rows = nodes.map((node, index) => [
    // A number of its own: an address that is also a secret is masked.
    String(index + 1),
    node.address,
    node.out ? `${node.outcome}, OUT` : node.outcome,
    ...moments.map((moment) => {
      const time = node.timeline[moment]
      return time === undefined ? '' : formatDuration(time.ms)
    }),
    remarks(node),
  ])
  return { header, rows }
}

function remarks({ reason, drainVerified, inFlightLeft, lastAnswer, outcome }: NodeReport): string {
  const parts: string[] = []
  if (reason !== undefined) parts.push(reason)
  if (outcome === 'failed' && lastAnswer !== undefined && !reason?.includes(lastAnswer))
    parts.push(lastAnswer)
  if (drainVerified === false) parts.push('drain unverified')
  if (inFlightLeft === 'unobservable') parts.push('requests in flight unobservable')
  else if (inFlightLeft) parts.push(`${inFlightLeft} requests outlasted drain-timeout`)
  return parts.join('; ')
}
