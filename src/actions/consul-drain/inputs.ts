import { MOST_COUNTED } from '../../rollout/fleet.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import { type ConsulInputs, nodeAddresses, readConsulInputs } from '../consul-inputs.ts'

export interface ConsulDrainInputs extends ConsulInputs {
  readonly node: string
  readonly drainTimeoutMs: number
  readonly minLive: number
}

export function readInputs(read: InputReader): ConsulDrainInputs {
  const consul = readConsulInputs(read, { login: false })
  const [node, ...others] = nodeAddresses(read)
  if (node === undefined) read.problem('nodes', 'is required and empty: name the node to take out')
  if (others.length > 0) read.problem('nodes', 'names several nodes: a drain takes out one')
  const { check, from } = consul.health
  if (check !== undefined && from === 'node' && read.text('user') === '') {
    read.problem(
      'user',
      'is empty: the other nodes are asked for their health through SSH (or set `health-from`)',
    )
  }
  return {
    ...consul,
    node: node ?? '',
    drainTimeoutMs: read.duration('drain-timeout'),
    minLive: read.integer('min-live', { min: 1, max: MOST_COUNTED }),
  }
}
