import type { Phase, RolloutState } from './machine.ts'

const DOING: Readonly<Record<Phase, string>> = {
  waiting: 'waiting',
  drain: 'taking it out',
  prove: 'waiting for the load balancers to follow',
  quiet: 'waiting for requests in flight',
  restart: 'restarting',
  check: 'waiting for it to be healthy',
  undrain: 'putting it back',
  confirm: 'waiting for the load balancers to have it back',
  ended: 'done',
}

/** How far a rollout is, in one line. */
export function progressLine({ nodes, stopped }: RolloutState): string {
  const all = [...nodes]
  const ended = all.filter(([, { phase }]) => phase === 'ended').length
  const doing = all
    .filter(([, { phase }]) => phase !== 'ended' && phase !== 'waiting')
    .map(([name, { phase }]) => `${name}: ${DOING[phase]}`)
  const rest = stopped === undefined ? doing : [...doing, `stopped: ${stopped}`]
  return [`${ended} of ${all.length} nodes done`, ...rest].join('; ')
}
