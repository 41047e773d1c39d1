/**
 * The decision maker of a rolling restart. Pure: a state and an event in, a state and commands out. It knows neither
 * time nor servers; the executor carries out the commands and tells what came of them.
 */

/** Where a node begins: in the pool; out by an earlier run and still to be restarted; out and already restarted. */
export type Beginning = 'in' | 'out' | 'restarted'

export type Work = 'drain' | 'prove' | 'quiet' | 'restart' | 'check' | 'undrain' | 'confirm'

/** What is being done with a node, or `waiting` for its turn, or `ended`. */
export type Phase = 'waiting' | Work | 'ended'

export interface NodeState {
  readonly beginning: Beginning
  readonly phase: Phase
  /** Whether it counts as live for the others: in the pool, as far as is known. */
  readonly live: boolean
  /** Whether a drain of this run (or one that it took over) is in effect. */
  readonly out: boolean
  /** Whether its restart was begun by this run or, for this release, by an earlier one. */
  readonly restarted: boolean
  readonly healthy: boolean
  /** Why it failed. */
  readonly failure: string | undefined
}

export interface RolloutState {
  readonly minLive: number
  readonly batch: number
  /** Live nodes of the upstream that this rollout does not touch. */
  readonly liveOutside: number
  readonly nodes: ReadonlyMap<string, NodeState>
  /** Why nothing new is started any more. */
  readonly stopped: string | undefined
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
  nodes: readonly { readonly name: string; readonly beginning: Beginning }[]
}): RolloutState {
  const nodes = options.nodes.map(({ name, beginning }): [string, NodeState] => [
    name,
    {
      beginning,
      phase: 'waiting',
      live: beginning === 'in',
      out: beginning !== 'in',
      restarted: beginning === 'restarted',
      healthy: false,
      failure: undefined,
    },
  ])
  const { minLive, batch, liveOutside } = options
  return { minLive, batch, liveOutside, nodes: new Map(nodes), stopped: undefined, handsOff: undefined }
}

/** True when nothing is under way and nothing will begin by itself. */
export function isOver({ nodes, stopped }: RolloutState): boolean {
  const phases = [...nodes.values()].map(({ phase }) => phase)
  return phases.every((phase) => phase === 'ended' || (phase === 'waiting' && stopped !== undefined))
}

/** Nodes that serve if all goes on as it stands, besides the one named. */
export function liveBesides({ nodes, liveOutside }: RolloutState, name: string): number {
  return [...nodes].filter(([other, { live }]) => live && other !== name).length + liveOutside
}

/** The next state and what is to be done. */
export function advance(state: RolloutState, event: RolloutEvent): Step {
  const step = react(state, event)
  return begin(step.state, [...step.commands])
}

function react(state: RolloutState, event: RolloutEvent): Step {
  switch (event.type) {
    case 'begin':
      return { state, commands: [] }
    case 'outside':
      return { state: { ...state, liveOutside: event.live }, commands: [] }
    case 'cancel':
      return abort(stop(state, 'the run was cancelled'), ['prove', 'quiet', 'confirm'])
    case 'hands-off': {
      const handsOff = state.handsOff ?? event.reason
      const all: Work[] = ['drain', 'prove', 'quiet', 'restart', 'check', 'undrain', 'confirm']
      return abort({ ...stop(state, event.reason), handsOff }, all)
    }
    case 'done':
    case 'failed':
    case 'aborted': {
      const node = state.nodes.get(event.node)
      // An answer to work that is not under way tells nothing.
      if (node?.phase !== event.work) return { state, commands: [] }
      return onWork(state, event, node)
    }
  }
}

type WorkEvent = Extract<RolloutEvent, { type: 'done' | 'failed' | 'aborted' }>

function onWork(state: RolloutState, event: WorkEvent, node: NodeState): Step {
  const { node: name, work } = event
  if (event.type === 'done') return onDone(state, name, work, node)
  const reason =
    event.type === 'failed' ? event.reason : (state.handsOff ?? state.stopped ?? 'it was cancelled')
  // A cancelled proof or wait is not the node's fault; anything else that has ended early is.
  const blameless = event.type === 'aborted' && ['prove', 'quiet', 'confirm'].includes(work)
  const failed = { ...node, failure: node.failure ?? (blameless && !state.handsOff ? undefined : reason) }
  const stopped = stop(state, blameless ? reason : `${name}: ${reason}`)
  switch (work) {
    case 'drain':
      // Whether it took effect may not be known: the undrain finds out and does nothing where there is nothing.
      return enter(stopped, name, { ...failed, out: true }, 'undrain')
    case 'prove':
    case 'quiet':
      return giveBack(stopped, name, failed)
    case 'restart':
    case 'check':
    case 'undrain':
    case 'confirm':
      return enter(stopped, name, failed, 'ended')
  }
}

function onDone(state: RolloutState, name: string, work: Work, node: NodeState): Step {
  switch (work) {
    case 'drain':
      return state.stopped
        ? enter(state, name, { ...node, out: true }, 'undrain')
        : enter(state, name, { ...node, out: true }, 'prove')
    case 'prove':
      return state.stopped ? giveBack(state, name, node) : enter(state, name, node, 'quiet')
    case 'quiet':
      return state.stopped
        ? giveBack(state, name, node)
        : enter(state, name, { ...node, restarted: true }, 'restart')
    case 'restart':
      return enter(state, name, node, 'check')
    case 'check':
      return enter(state, name, { ...node, healthy: true }, 'undrain')
    case 'undrain': {
      // It serves, but the load balancers have not shown it yet: it counts for the others only once they have.
      const back = { ...node, out: false }
      return node.restarted && !state.stopped
        ? enter(state, name, back, 'confirm')
        : enter(state, name, { ...back, live: true }, 'ended')
    }
    case 'confirm':
      return enter(state, name, { ...node, live: true }, 'ended')
  }
}

/** A node that was not restarted goes back, unless an earlier run has left it out because it is unwell. */
function giveBack(state: RolloutState, name: string, node: NodeState): Step {
  if (node.beginning === 'in') return enter(state, name, node, 'undrain')
  return enter(state, name, { ...node, failure: node.failure ?? state.stopped }, 'ended')
}

/** Puts a node into a phase and gives the command for it, unless nothing may be written any more. */
function enter(state: RolloutState, name: string, node: NodeState, phase: Work | 'ended'): Step {
  if (phase === 'ended') return { state: withNode(state, name, { ...node, phase }), commands: [] }
  if (state.handsOff !== undefined) {
    const failure = node.failure ?? (node.out ? state.handsOff : undefined)
    return { state: withNode(state, name, { ...node, failure, phase: 'ended' }), commands: [] }
  }
  return { state: withNode(state, name, { ...node, phase }), commands: [{ type: phase, node: name }] }
}

function withNode(state: RolloutState, name: string, node: NodeState): RolloutState {
  return { ...state, nodes: new Map(state.nodes).set(name, node) }
}

function stop(state: RolloutState, reason: string): RolloutState {
  return state.stopped === undefined ? { ...state, stopped: reason } : state
}

function abort(state: RolloutState, works: readonly Work[]): Step {
  const commands = [...state.nodes].flatMap(([node, { phase }]): Command[] =>
    works.some((work) => work === phase) ? [{ type: 'abort', node }] : [],
  )
  return { state, commands }
}

/** Starts as many waiting nodes as the batch and the floor allow. */
function begin(state: RolloutState, commands: Command[]): Step {
  let current = state
  for (const [name, node] of state.nodes) {
    if (current.stopped !== undefined) break
    if (node.phase !== 'waiting') continue
    const underWay = [...current.nodes.values()].filter(
      ({ phase }) => phase !== 'waiting' && phase !== 'ended',
    )
    if (underWay.length >= current.batch) break
    if (node.beginning === 'in' && liveBesides(current, name) < current.minLive) {
      // The nodes under way may come back; if there are none, it stays as it is.
      if (underWay.length === 0) {
        const live = liveBesides(current, name)
        current = stop(
          current,
          `${name} cannot go out: ${live} others serve, the floor is ${current.minLive}`,
        )
      }
      break
    }
    const first = { in: 'drain', out: 'prove', restarted: 'check' } as const
    // It no longer counts from the moment on at which its drain may take effect.
    const step = enter(current, name, { ...node, live: false }, first[node.beginning])
    current = step.state
    commands.push(...step.commands)
  }
  return { state: current, commands }
}
