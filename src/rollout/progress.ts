import type { Phase, RolloutState } from './state.ts'

const DOING: Readonly<Record<Phase, string>> = {
  waiting: 'waiting',
  drain: 'taking it out',
  prove: 'waiting for the load balancers to follow',
  quiet: 'waiting for requests in flight',
  held: 'out, waiting for the one before it to be back',
  restart: 'restarting',
  revert: 'taking it back',
  check: 'waiting for it to be healthy',
  'verify-drained': 'trying it while it is out',
  undrain: 'putting it back',
  confirm: 'waiting for the load balancers to have it back',
  bake: 'watching the canary',
  verify: 'trying the canary',
  ended: 'done',
}

/** More nodes than this are counted, not named. */
const NAMED = 4

/** How far a rollout is, in one line. */
export function progressLine({ nodes, stopped }: RolloutState): string {
  const all = [...nodes]
  const ended = all.filter(([, { phase }]) => phase === 'ended').length
  const busy = all.filter(([, { phase }]) => phase !== 'ended' && phase !== 'waiting')
  const doing =
    busy.length <= NAMED ? busy.map(([, { label, phase }]) => `${label}: ${DOING[phase]}`) : counted(busy)
  const rest = stopped === undefined ? doing : [...doing, `stopped: ${stopped}`]
  return [`${ended} of ${all.length} nodes done`, ...rest].join('; ')
}

function counted(busy: readonly (readonly [string, { readonly phase: Phase }])[]): string[] {
  const counts = new Map<Phase, number>()
  for (const [, { phase }] of busy) counts.set(phase, (counts.get(phase) ?? 0) + 1)
  return [...counts].map(([phase, count]) => `${count}: ${DOING[phase]}`)
}
