import { type HealthCheck, type Placeholders, parseStatusRanges, urlProblem } from '../health/check.ts'
import type { PollPolicy } from '../health/poll.ts'
import type { InputReader } from '../runner/input-reader.ts'
import { parsePort, type Target } from '../ssh/target.ts'
import { readTarget } from './ssh-inputs.ts'

/** What to check, how long, and from where. */
export interface HealthInputs {
  /** Undefined where nothing is to be checked. */
  readonly check: HealthCheck | undefined
  readonly policy: PollPolicy
  /** `node`: through the SSH connection of the server that is checked. */
  readonly from: 'node' | 'runner' | Target
}

/** Reads the health inputs; `placeholders` are those that its URLs may hold. */
export function readHealthInputs(
  read: InputReader,
  placeholders: readonly (keyof Placeholders)[],
  { required = false } = {},
): HealthInputs {
  const given = ['health-url', 'health-command', 'health-tcp'].filter((name) => read.text(name) !== '')
  if (given.length > 1) read.problem(given[1] ?? '', `and \`${given[0]}\` are both given: give one of them`)
  if (given.length === 0 && required) {
    read.problem('health-url', 'is empty: give one of `health-url`, `health-command` and `health-tcp`')
  }
  const from = readFrom(read)
  const check = readCheck(read, placeholders)
  if (check?.kind === 'command' && from === 'runner') {
    read.problem(
      'health-from',
      'is `runner`, but `health-command` runs on a server: write `node` or an SSH target',
    )
  }
  const policy = {
    intervalMs: read.duration('health-interval'),
    timeoutMs: read.duration('health-timeout'),
    threshold: read.integer('healthy-threshold', { min: 1, max: 1000 }),
  }
  return { check, policy, from }
}

function readFrom(read: InputReader): HealthInputs['from'] {
  const text = read.text('health-from')
  if (text === 'node' || text === 'runner') return text
  return readTarget(read, 'health-from', text)[0] ?? 'node'
}

function readCheck(
  read: InputReader,
  placeholders: readonly (keyof Placeholders)[],
): HealthCheck | undefined {
  const url = read.text('health-url')
  const command = read.text('health-command')
  const tcp = read.text('health-tcp')
  const expectStatus = parseStatusRanges(read.text('expect-status'))
  if (expectStatus === undefined) {
    read.problem('expect-status', `is '${read.text('expect-status')}': write 200, 200-399 or 200,301`)
  }
  const expectBody = read.optional('expect-body')
  if (url !== '') {
    const problem = urlProblem(url, placeholders)
    if (problem) read.problem('health-url', problem)
    return { kind: 'http', url, expectStatus: expectStatus ?? [], expectBody }
  }
  if (command !== '') return { kind: 'command', command }
  if (tcp === '') return undefined
  const port = parsePort(tcp)
  if (port === undefined) read.problem('health-tcp', `is '${tcp}', not a port (1-65535)`)
  return { kind: 'tcp', port: port ?? 0 }
}
