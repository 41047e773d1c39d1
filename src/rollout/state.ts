/** What the decision maker of a rolling restart knows, is told and commands. */

/** Where a node begins: in the pool; out by an earlier run and still to be restarted; out and already restarted. */
export type Beginning = 'in' | 'out' | 'restarted'

export type Work =
  | 'drain'
  | 'prove'
  | 'quiet'
  | 'restart'
  /** Takes the node back to what it ran before. */
  | 'revert'
  | 'check'
  /** Tries a canary that is well and still out. */
  | 'verify-drained'
  | 'undrain'
  | 'confirm'
  /** The last canary's: watches how the canaries do in the pool. */
  | 'bake'
  /** The last canary's: tries them there. */
  | 'verify'

/** The nodes that go before all others, and what is done with them. */
export interface Trial {
  /** How many of the first nodes; 0 for none. */
  readonly size: number
  readonly verifyDrained: boolean
  readonly bake: boolean
  readonly verify: boolean
}

/**
 * What is being done with a node, or `waiting` for its turn, or `held` (out, and to be restarted once those before it
 * are shown to be back), or `ended`.
 */
export type Phase = 'waiting' | Work | 'held' | 'ended'

export interface NodeState {
  /** For people; also says which node it is where addresses are masked as secrets. */
  readonly label: string
  readonly beginning: Beginning
  readonly phase: Phase
  /** Who was on the way back into the pool when its turn came: it is not restarted before they are shown there. */
  readonly after: readonly string[]
  /** Whether it counts as live for the others: in the pool, as far as is known. */
  readonly live: boolean
  /** Whether a drain of this run (or one that it took over) is in effect. */
  readonly out: boolean
  /** Whether its restart was begun by this run or, for this release, by an earlier one. */
  readonly restarted: boolean
  readonly healthy: boolean
  /** Whether it is, or has been, on its way back to what it ran before. */
  readonly reverting: boolean
  /** Why it failed. */
  readonly failure: string | undefined
}

export interface RolloutState {
  readonly minLive: number
  readonly batch: number
  /** Live nodes of the upstream that this rollout does not touch. */
  readonly liveOutside: number
  readonly nodes: ReadonlyMap<string, NodeState>
  readonly trial: Trial
  /** Whether the canaries have passed, so that the others may follow. */
  readonly tried: boolean
  /** What happens when a node turns out bad: all stays as it is, or what was updated goes back. */
  readonly onFailure: 'stop' | 'revert'
  /** Why no further node is updated. */
  readonly stopped: string | undefined
  /** Whether the nodes that were updated go back. */
  readonly goingBack: boolean
  /** Why no further node goes back. */
  readonly backStopped: string | undefined
  /** After this nothing is written: the lease is lost, or there is no time left. */
  readonly handsOff: string | undefined
}

export type RolloutEvent =
  | { readonly type: 'begin' }
  /** The work on a node is done. */
  | { readonly type: 'done'; readonly node: string; readonly work: Work }
  /** It was not, or it found what it should not. */
  | { readonly type: 'failed'; readonly node: string; readonly work: Work; readonly reason: string }
  /** It ended because it was told to. */
  | { readonly type: 'aborted'; readonly node: string; readonly work: Work }
  /** Somebody else changed how many nodes serve. */
  | { readonly type: 'outside'; readonly live: number }
  /** Start nothing more, put back what can be put back. */
  | { readonly type: 'cancel' }
  /** Write nothing more. */
  | { readonly type: 'hands-off'; readonly reason: string }

export type Command =
  | { readonly type: Work; readonly node: string }
  /** End what is being done with the node; it answers by any event about that work. */
  | { readonly type: 'abort'; readonly node: string }

export interface Step {
  readonly state: RolloutState
  readonly commands: readonly Command[]
}

export function newRollout(options: {
  minLive: number
  batch: number
  liveOutside: number
  /** In order; by default a node's name is its label. */
  nodes: readonly { readonly name: string; readonly beginning: Beginning; readonly label?: string }[]
  trial?: Trial
  onFailure?: 'stop' | 'revert'
}): RolloutState {
  const nodes = options.nodes.map(({ name, beginning, label = name }): [string, NodeState] => [
    name,
    {
      label,
      beginning,
      phase: 'waiting',
      after: [],
      live: beginning === 'in',
      out: beginning !== 'in',
      restarted: beginning === 'restarted',
      healthy: false,
      reverting: false,
      failure: undefined,
    },
  ])
  const { minLive, batch, liveOutside, onFailure = 'stop', trial = NO_TRIAL } = options
  return {
    ...{ minLive, batch, liveOutside, trial, onFailure, nodes: new Map(nodes) },
    ...{ tried: trial.size === 0, goingBack: false },
    ...{ stopped: undefined, backStopped: undefined, handsOff: undefined },
  }
}

const NO_TRIAL: Trial = { size: 0, verifyDrained: false, bake: false, verify: false }
/** True when nothing is under way and nothing will begin by itself. */
export function isOver({ nodes, stopped }: RolloutState): boolean {
  const phases = [...nodes.values()].map(({ phase }) => phase)
  return phases.every((phase) => phase === 'ended' || (phase === 'waiting' && stopped !== undefined))
}

/** Nodes that serve if all goes on as it stands, besides the one named. */
export function liveBesides({ nodes, liveOutside }: RolloutState, name: string): number {
  return [...nodes].filter(([other, { live }]) => live && other !== name).length + liveOutside
}
