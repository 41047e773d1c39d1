import type { InputReader } from '../../runner/input-reader.ts'
import { type ConsulInputs, nodeAddresses, readConsulInputs } from '../consul-inputs.ts'

export interface ConsulUndrainInputs extends ConsulInputs {
  readonly drainId: string
  /** The node, where it was named. */
  readonly node: string | undefined
}

export function readInputs(read: InputReader): ConsulUndrainInputs {
  const consul = readConsulInputs(read, { login: false })
  const drainId = read.required('drain-id')
  if (drainId !== '' && !/^evenkeel-[0-9a-f-]{36}$/.test(drainId)) {
    read.problem('drain-id', `is '${drainId}': write the output \`drain-id\` of consul-drain`)
  }
  const [node, ...others] = nodeAddresses(read)
  if (others.length > 0) read.problem('nodes', 'names several nodes: a drain is of one')
  const { check, from } = consul.health
  const named = node !== undefined && consul.targets.has(node)
  if (check !== undefined && from === 'node' && !named && read.text('user') === '') {
    read.problem('user', 'is empty: the node is asked for its health through SSH (or set `health-from`)')
  }
  return { ...consul, drainId, node }
}
