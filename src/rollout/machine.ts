/**
 * The decision maker of a rolling restart. Pure: a state and an event in, a state and commands out. It knows neither
 * time nor servers; the executor carries out the commands and tells what came of them.
 */
import {
  type Command,
  liveBesides,
  type NodeState,
  type RolloutEvent,
  type RolloutState,
  type Step,
  type Work,
} from './state.ts'

const ALL_WORK: readonly Work[] = [
  ...(['drain', 'prove', 'quiet', 'restart', 'revert', 'check'] as const),
  ...(['verify-drained', 'undrain', 'confirm', 'bake', 'verify'] as const),
]
/** What a cancel ends at once; that it has ended early is not the node's fault. */
const BREAKABLE: readonly Work[] = ['prove', 'quiet', 'verify-drained', 'confirm', 'bake', 'verify']
/** What speaks against the new version when it fails; the rest speaks against the load balancers or Consul. */
const TELLING: readonly Work[] = ['restart', 'check', 'verify-drained', 'bake', 'verify']

/** The next state and what is to be done. */
export function advance(state: RolloutState, event: RolloutEvent): Step {
  const step = react(state, event)
  const freed = letGo(step.state, [...step.commands])
  const begun = begin(freed.state, [...freed.commands])
  return beginBack(begun.state, [...begun.commands])
}

function react(state: RolloutState, event: RolloutEvent): Step {
  switch (event.type) {
    case 'begin':
      return { state, commands: [] }
    case 'outside':
      return { state: { ...state, liveOutside: event.live }, commands: [] }
    case 'cancel':
      return abort(stopAll(state, 'the run was cancelled'), BREAKABLE)
    case 'hands-off': {
      const handsOff = state.handsOff ?? event.reason
      return abort({ ...stopAll(state, event.reason), handsOff }, ALL_WORK)
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
  const blameless = event.type === 'aborted' && BREAKABLE.includes(work)
  const failed = blameless && !state.handsOff ? node : withFailure(node, reason)
  const stopped = noteFailure(state, blameless ? reason : `${node.label}: ${reason}`, {
    reverting: node.reverting,
    telling: event.type === 'failed' && TELLING.includes(work),
  })
  switch (work) {
    case 'drain':
      // Whether it took effect may not be known: the undrain finds out and does nothing where there is nothing.
      return enter(stopped, name, { ...failed, out: true }, 'undrain')
    case 'prove':
    case 'quiet':
      return giveBack(stopped, name, failed)
    case 'verify-drained':
      return enter(stopped, name, failed, blameless ? 'undrain' : 'ended')
    default:
      return enter(stopped, name, failed, 'ended')
  }
}

function withFailure(node: NodeState, reason: string): NodeState {
  if (node.failure === undefined) return { ...node, failure: reason }
  return node.reverting ? { ...node, failure: `${node.failure}; on its way back: ${reason}` } : node
}

function noteFailure(
  state: RolloutState,
  reason: string,
  { reverting, telling }: { reverting: boolean; telling: boolean },
): RolloutState {
  if (reverting) return { ...state, backStopped: state.backStopped ?? reason }
  const goingBack = state.goingBack || (telling && state.onFailure === 'revert')
  return { ...stop(state, reason), goingBack }
}

/** Whether the way on which a node is goes on. */
function goesOn(state: RolloutState, { reverting }: NodeState): boolean {
  return (reverting ? state.backStopped : state.stopped) === undefined
}

function onDone(state: RolloutState, name: string, work: Work, node: NodeState): Step {
  const on = goesOn(state, node)
  switch (work) {
    case 'drain':
      return enter(state, name, { ...node, out: true }, on ? 'prove' : 'undrain')
    case 'prove':
      return on ? enter(state, name, node, 'quiet') : giveBack(state, name, node)
    case 'quiet':
      if (!on) return giveBack(state, name, node)
      if (node.reverting) return enter(state, name, node, 'revert')
      return { state: withNode(state, name, { ...node, phase: 'held' }), commands: [] }
    case 'restart':
    case 'revert':
      return enter(state, name, node, 'check')
    case 'check': {
      const tried = on && !node.reverting && state.trial.verifyDrained && isCanary(state, name)
      return enter(state, name, { ...node, healthy: true }, tried ? 'verify-drained' : 'undrain')
    }
    case 'verify-drained':
      return enter(state, name, node, 'undrain')
    case 'undrain': {
      // It serves, but the load balancers have not shown it yet: it counts for the others only once they have.
      const back = { ...node, out: false }
      return node.restarted && on
        ? enter(state, name, back, 'confirm')
        : enter(state, name, { ...back, live: true }, 'ended')
    }
    case 'confirm':
    case 'bake':
    case 'verify':
      return onBack(state, name, work, { ...node, live: true })
  }
}

/** A node is back in the pool: the last canary is watched and tried there, for all of them. */
function onBack(
  state: RolloutState,
  name: string,
  work: 'confirm' | 'bake' | 'verify',
  node: NodeState,
): Step {
  const end = (next: RolloutState) => enter(next, name, node, 'ended')
  if (!goesOn(state, node) || node.reverting || !isCanary(state, name)) return end(state)
  const others = [...state.nodes].slice(0, state.trial.size).filter(([other]) => other !== name)
  if (others.some(([, { phase }]) => phase !== 'ended')) return end(state)
  const { bake, verify } = state.trial
  if (work === 'confirm' && bake) return enter(state, name, node, 'bake')
  if (work !== 'verify' && verify) return enter(state, name, node, 'verify')
  return end({ ...state, tried: true })
}

function isCanary({ nodes, trial }: RolloutState, name: string): boolean {
  return [...nodes.keys()].indexOf(name) < trial.size
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

function stopAll(state: RolloutState, reason: string): RolloutState {
  return { ...stop(state, reason), backStopped: state.backStopped ?? reason }
}

function abort(state: RolloutState, works: readonly Work[]): Step {
  const commands = [...state.nodes].flatMap(([node, { phase }]): Command[] =>
    works.some((work) => work === phase) ? [{ type: 'abort', node }] : [],
  )
  return { state, commands }
}

function nodesUnderWay({ nodes }: RolloutState): NodeState[] {
  return [...nodes.values()].filter(({ phase }) => phase !== 'waiting' && phase !== 'ended')
}

/** Restarts those who were held once nobody is awaited any more, or gives them back after a stop. */
function letGo(state: RolloutState, commands: Command[]): Step {
  let current = state
  for (const [name, node] of state.nodes) {
    if (node.phase !== 'held') continue
    const on = goesOn(current, node)
    if (on && node.after.some((other) => current.nodes.get(other)?.phase === 'confirm')) continue
    const step = on
      ? enter(current, name, { ...node, restarted: true }, 'restart')
      : giveBack(current, name, node)
    current = step.state
    commands.push(...step.commands)
  }
  return { state: current, commands }
}

/**
 * Starts as many waiting nodes as the batch and the floor allow; canaries first. A node whose way back only has yet to
 * be shown takes no place in the batch, though it does not count as live either: all that load balancers learn comes
 * in Consul's order, so none sees the next one out before it has this one in.
 */
function begin(state: RolloutState, commands: Command[]): Step {
  let current = state
  for (const [name, node] of state.nodes) {
    if (current.stopped !== undefined) break
    if (!current.tried && !isCanary(current, name)) break
    if (node.phase !== 'waiting') continue
    const underWay = nodesUnderWay(current)
    const after = [...current.nodes].filter(([, { phase }]) => phase === 'confirm').map(([other]) => other)
    if (underWay.length - after.length >= current.batch || underWay.length >= 2 * current.batch) break
    if (node.beginning === 'in' && liveBesides(current, name) < current.minLive) {
      // The nodes under way may come back; if there are none, it stays as it is.
      if (underWay.length === 0) current = stop(current, belowFloor(current, name))
      break
    }
    const first = { in: 'drain', out: 'prove', restarted: 'check' } as const
    // It no longer counts from the moment on at which its drain may take effect.
    const step = enter(current, name, { ...node, live: false, after }, first[node.beginning])
    current = step.state
    commands.push(...step.commands)
  }
  return { state: current, commands }
}

/** Starts the way back of nodes that were restarted, the last one first, once nothing is being updated any more. */
function beginBack(state: RolloutState, commands: Command[]): Step {
  if (!state.goingBack) return { state, commands }
  let current = state
  for (const [name, node] of [...state.nodes].reverse()) {
    if (current.backStopped !== undefined) break
    const underWay = nodesUnderWay(current)
    if (underWay.length >= current.batch || underWay.some(({ reverting }) => !reverting)) break
    if (!node.restarted || node.reverting || node.phase !== 'ended') continue
    if (!node.out && liveBesides(current, name) < current.minLive) {
      if (underWay.length === 0) current = { ...current, backStopped: belowFloor(current, name) }
      break
    }
    const beginning = node.out ? 'out' : 'in'
    const back = { ...node, beginning, reverting: true, healthy: false, live: false } as const
    const step = enter(current, name, back, node.out ? 'prove' : 'drain')
    current = step.state
    commands.push(...step.commands)
  }
  return { state: current, commands }
}

function belowFloor(state: RolloutState, name: string): string {
  return `${state.nodes.get(name)?.label} cannot go out: ${liveBesides(state, name)} others serve, the floor is ${state.minLive}`
}
