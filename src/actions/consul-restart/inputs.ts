import { MOST_COUNTED } from '../../rollout/fleet.ts'
import { parseBatch } from '../../rollout/plan.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import { type ConsulInputs, nodeAddresses, readConsulInputs } from '../consul-inputs.ts'

export interface ConsulRestartInputs extends ConsulInputs {
  /** In the order in which they are written; [] for all of the upstream. */
  readonly nodes: readonly string[]
  /** '' for the default. */
  readonly release: string
  readonly restart: string
  readonly drainTimeoutMs: number
  readonly minLive: number
  readonly batch: (nodes: number) => number
  readonly canary: number
  readonly canaryBakeMs: number
  /** Runner commands; '' for none. */
  readonly verifyDrained: string
  readonly verify: string
  readonly onFailure: 'stop' | 'revert'
  readonly revert: string
}

export function readInputs(read: InputReader): ConsulRestartInputs {
  const consul = readConsulInputs(read, { login: true })
  const nodes = nodeAddresses(read)
  requireLogins(read, consul, nodes)
  const release = read.text('release')
  if (!/^[A-Za-z0-9._+-]{0,128}$/.test(release)) {
    read.problem('release', `is '${release}': write letters, digits and ._+- (128 at most)`)
  }
  const batch = parseBatch(read.text('batch'))
  if (batch === undefined) {
    read.problem('batch', `is '${read.text('batch')}': write a number such as 1, or a percentage such as 20%`)
  }
  const canary = read.text('canary') === '' ? 0 : read.integer('canary', { min: 0, max: 10_000 })
  const canaryBakeMs = read.text('canary-bake') === '' ? 0 : read.duration('canary-bake')
  for (const name of canary === 0 ? ['canary-bake', 'verify-drained', 'verify'] : []) {
    if (read.text(name) !== '')
      read.problem(name, 'is given, but there is no `canary`: say how many nodes go first')
  }
  const onFailure = read.choice('on-failure', ['stop', 'revert'])
  const revert = read.text('revert')
  if (onFailure === 'revert' && revert === '') {
    read.problem('revert', 'is required with `on-failure: revert`: the remote command that takes a node back')
  }
  return {
    ...consul,
    ...{ nodes, release, canary, canaryBakeMs, onFailure, revert },
    verifyDrained: read.text('verify-drained'),
    verify: read.text('verify'),
    restart: read.required('restart'),
    drainTimeoutMs: read.duration('drain-timeout'),
    minLive: read.integer('min-live', { min: 1, max: MOST_COUNTED }),
    batch: batch ?? (() => 1),
  }
}

/** Every node must say who logs in, before the first connection is made. */
function requireLogins(read: InputReader, { targets }: ConsulInputs, nodes: readonly string[]): void {
  if (read.text('user') !== '') return
  if (nodes.length === 0) {
    read.problem('user', 'is empty, and `nodes` names no SSH targets: say who logs in to the nodes')
  }
  for (const address of nodes.filter((one) => !targets.has(one))) {
    read.problem('nodes', `names no SSH target for ${address}: write '${address} user@host', or set \`user\``)
  }
}
