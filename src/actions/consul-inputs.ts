import { formatNode, parseAddress } from '../consul/node-address.ts'
import { LONGEST_TTL_MS, SHORTEST_TTL_MS } from '../consul/session.ts'
import { upstreamProblem } from '../consul/upstream.ts'
import { urlProblem } from '../health/check.ts'
import type { InputReader } from '../runner/input-reader.ts'
import type { Credentials } from '../ssh/connect.ts'
import type { Target } from '../ssh/target.ts'
import { parsePort } from '../ssh/target.ts'
import { type HealthInputs, readHealthInputs } from './health-inputs.ts'
import { readCredentials, readTarget } from './ssh-inputs.ts'

/** What the three Consul actions have in common. */
export interface ConsulInputs {
  readonly urls: readonly string[]
  readonly token: string
  readonly ca: string
  readonly from: 'runner' | Target
  readonly upstream: string
  readonly leaseTtlMs: number
  readonly lockWaitMs: number
  readonly lb: {
    readonly urls: readonly string[]
    readonly from: 'runner' | Target
    readonly intervalMs: number
  }
  readonly health: HealthInputs
  /** Undefined where nobody need log in and no key is given. */
  readonly credentials: Credentials | undefined
  /** SSH targets by node address, for the nodes that were named. */
  readonly targets: ReadonlyMap<string, Target>
  /** The login for a node that is not named: its IP with `user` and `port`. */
  readonly targetOf: (address: string) => Target | undefined
  readonly dryRun: boolean
}

/** Reads the inputs of a Consul action. `login: true` where the nodes are logged in to in any case. */
export function readConsulInputs(read: InputReader, { login }: { login: boolean }): ConsulInputs {
  const urls = read.lines('consul-url').map((url) => url.replace(/\/+$/, ''))
  if (urls.length === 0) read.problem('consul-url', 'is required and empty')
  for (const url of urls) {
    const problem = urlProblem(url, [])
    if (problem) read.problem('consul-url', `'${url}' ${problem}`)
    else if (/[?#]|\/v1$/.test(url))
      read.problem('consul-url', `'${url}' must be the address alone, without /v1`)
  }
  const ca = read.text('consul-ca')
  if (ca !== '' && !ca.includes('-----BEGIN CERTIFICATE-----')) {
    read.problem('consul-ca', 'is not a PEM certificate')
  }
  const upstream = read.text('upstream').replace(/\/$/, '')
  const problem = upstreamProblem(upstream)
  if (problem) read.problem('upstream', problem)
  const leaseTtlMs = read.duration('lease-ttl')
  if (leaseTtlMs < SHORTEST_TTL_MS || leaseTtlMs > LONGEST_TTL_MS) {
    read.problem('lease-ttl', `is '${read.text('lease-ttl')}': Consul takes 10s to 24h`)
  }
  const from = readVantage(read, 'consul-from')
  const lb = readLoadBalancers(read)
  const health = readHealthInputs(read, ['address', 'ip', 'port', 'name'])
  const targets = readNodes(read)
  const logins = [from, lb.from, health.from].filter((one) => one !== 'runner' && one !== 'node')
  const required = login || logins.length > 0 || (health.check !== undefined && health.from === 'node')
  const named = [...targets.values()].filter((one) => one !== undefined)
  const credentials = readCredentials(read, [...named, ...logins], { required })
  return {
    ...{ urls, ca, upstream, leaseTtlMs, from, lb, health },
    token: read.secret('consul-token').trim(),
    lockWaitMs: read.duration('lock-wait'),
    credentials: credentials,
    targets: new Map([...targets].flatMap(([address, target]) => (target ? [[address, target]] : []))),
    targetOf: defaultTarget(read.text('user'), parsePort(read.text('port')) ?? 22),
    dryRun: read.boolean('dry-run'),
  }
}

function defaultTarget(user: string, port: number): (address: string) => Target | undefined {
  return (address) => {
    const node = parseAddress(address)
    return node === undefined || user === '' ? undefined : { host: node.ip, port, user }
  }
}

function readVantage(read: InputReader, name: string): 'runner' | Target {
  const text = read.text(name)
  if (text === 'runner') return text
  return readTarget(read, name, text)[0] ?? 'runner'
}

function readLoadBalancers(read: InputReader): ConsulInputs['lb'] {
  const urls = read.lines('lb-status')
  for (const url of urls) {
    const problem = urlProblem(url, [])
    if (problem) read.problem('lb-status', `'${url}' ${problem}`)
  }
  return { urls, from: readVantage(read, 'lb-from'), intervalMs: read.duration('lb-interval') }
}

/** `<ip>:<port> [ssh target]` lines. Without a target it is undefined unless `user` says who logs in. */
function readNodes(read: InputReader): Map<string, Target | undefined> {
  const user = read.text('user')
  const fallback = defaultTarget(user, parsePort(read.text('port')) ?? 22)
  const nodes = new Map<string, Target | undefined>()
  for (const line of read.lines('nodes')) {
    const [address = '', target, ...rest] = line.split(/\s+/)
    const node = parseAddress(address)
    if (node === undefined || rest.length > 0) {
      read.problem('nodes', `'${line}' is not '<ip>:<port>' (IPv4) with an SSH target after it, if any`)
    } else if (nodes.has(formatNode(node))) {
      read.problem('nodes', `names ${address} twice`)
    } else {
      const login = target === undefined ? fallback(address) : readTarget(read, 'nodes', target)[0]
      nodes.set(address, login)
    }
  }
  return nodes
}

/** The addresses of `nodes`, in the order in which they are written; [] for all nodes of the upstream. */
export function nodeAddresses(read: InputReader): string[] {
  return read.lines('nodes').map((line) => line.split(/\s+/)[0] ?? '')
}
