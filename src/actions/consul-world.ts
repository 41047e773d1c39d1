import type { Agent } from 'undici'
import { ConsulClient, directDispatcher } from '../consul/client.ts'
import type { Drains } from '../consul/drain.ts'
import { ownKeys } from '../consul/journal.ts'
import { type Lease, takeLease } from '../consul/lease.ts'
import { readUpstream, type UpstreamNode } from '../consul/upstream.ts'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { readStatusPage, type StatusPages } from '../lb/status-page.ts'
import { NodeConnections } from '../rollout/connections.ts'
import type { Fleet, FleetHealth } from '../rollout/fleet.ts'
import type { GitHubContext } from '../runner/github-context.ts'
import { SteadyConnection } from '../ssh/steady-connection.ts'
import { formatTarget, type Target } from '../ssh/target.ts'
import { tunnelDispatcher } from '../ssh/tunnel.ts'
import type { ConsulInputs } from './consul-inputs.ts'

/** Consul, the load balancers and the nodes, reached as the inputs say. */
export interface World {
  readonly client: ConsulClient
  /** The upstream as it was found. */
  readonly nodes: ReadonlyMap<string, UpstreamNode>
  readonly pages: StatusPages | undefined
  readonly health: FleetHealth | undefined
  readonly connections: NodeConnections | undefined
  /** From now on a cancel no longer cuts the connections: they are needed to put things back. */
  outliveCancel(): void
  close(): Promise<void>
}

/** Opens the connections that all three actions need, and reads the upstream. */
export async function openWorld(inputs: ConsulInputs, caller: Context): Promise<World> {
  const cut = new AbortController()
  const onCancel = () => cut.abort(caller.signal.reason)
  caller.signal.addEventListener('abort', onCancel, { once: true })
  if (caller.signal.aborted) onCancel()
  const outliveCancel = () => caller.signal.removeEventListener('abort', onCancel)
  const context: Context = { ...caller, signal: cut.signal }
  const vantages = new Map<string, SteadyConnection>()
  const closers: (() => unknown)[] = []
  const reach = async (from: 'runner' | Target): Promise<SteadyConnection | 'runner'> => {
    if (from === 'runner') return from
    const name = formatTarget(from)
    const known = vantages.get(name)
    if (known) return known
    if (inputs.credentials === undefined) throw new TypeError('the inputs require credentials')
    const connection = await SteadyConnection.open(from, inputs.credentials, context)
    vantages.set(name, connection)
    closers.push(() => connection.close())
    return connection
  }
  const close = async () => {
    outliveCancel()
    for (const one of closers.reverse()) await one()
  }
  try {
    const from = await reach(inputs.from)
    const ca = inputs.ca === '' ? {} : { ca: inputs.ca }
    const dispatcher = from === 'runner' ? directDispatcher(inputs.ca) : tunnelDispatcher(from, ca)
    closers.push(() => (dispatcher as Agent).destroy())
    const client = new ConsulClient({ urls: inputs.urls, token: inputs.token, dispatcher })
    const nodes = await readUpstream(client, inputs.upstream, context)
    const connections = nodeConnections(inputs, [...nodes.keys()], context)
    if (connections) closers.push(() => connections.close())
    const { check, policy } = inputs.health
    const health = check && {
      ...{ check, policy },
      from: inputs.health.from === 'node' ? ('node' as const) : await reach(inputs.health.from),
    }
    const pages =
      inputs.lb.urls.length === 0
        ? undefined
        : { urls: inputs.lb.urls, from: await reach(inputs.lb.from), upstream: inputs.upstream }
    return { client, nodes, pages, health, connections, outliveCancel, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Logins for every node of the upstream: the target that was named, or the node's own IP. */
function nodeConnections(
  { credentials, targets, targetOf }: ConsulInputs,
  addresses: readonly string[],
  context: Context,
): NodeConnections | undefined {
  if (credentials === undefined) return undefined
  const logins = new Map<string, Target>()
  for (const address of addresses) {
    const target = targets.get(address) ?? targetOf(address)
    if (target) logins.set(address, target)
  }
  return new NodeConnections(logins, credentials, context)
}

/** Throws unless the upstream has all the nodes that were named. */
export function requireNodes({ nodes }: World, addresses: readonly string[], upstream: string): void {
  const missing = addresses.filter((address) => !nodes.has(address))
  if (missing.length === 0) return
  throw new Failure(
    `${upstream} has no ${missing.length === 1 ? 'such node' : 'such nodes'}: ${missing.join(', ')}`,
    {
      seen: `its nodes are ${[...nodes.keys()].join(', ')}`,
      state: 'nothing was changed.',
      hint: 'correct `nodes` or `upstream`, or register the node in Consul first',
    },
  )
}

/** Reads every load balancer's page once: one that cannot be used is found before anything is changed. */
export async function requirePages(
  { pages }: World,
  addresses: readonly string[],
  { log, signal }: Context,
): Promise<void> {
  if (pages === undefined) {
    log.warn(
      'no `lb-status` is given: drains cannot be verified at the load balancers, they are waited for only',
    )
    return
  }
  for (const url of pages.urls) {
    const peers = await readStatusPage(url, pages, signal)
    const missing = addresses.filter((address) => !peers.has(address))
    if (missing.length === 0) continue
    throw new Failure(`a load balancer does not know ${missing.join(', ')}`, {
      host: url,
      seen: `its page shows ${[...peers.keys()].join(', ') || 'no servers'}`,
      state: 'nothing was changed.',
      hint: 'see whether it still follows Consul, and whether this is the page of the right upstream',
    })
  }
}

/** Takes the lease of the upstream. */
export async function takeUpstreamLease(
  world: World,
  { upstream, leaseTtlMs, lockWaitMs }: ConsulInputs,
  holder: string,
  context: Context,
  onSession?: (session: string) => void,
): Promise<Lease> {
  const lockKey = ownKeys(upstream).lock
  const lease = await takeLease(
    world.client,
    { lockKey, holder, ttlMs: leaseTtlMs, waitMs: lockWaitMs, ...(onSession && { onSession }) },
    context,
  )
  context.log.info(`lease of ${upstream} taken (number ${lease.fence})`)
  world.outliveCancel()
  return lease
}

/** Who we are, for those who find our lease or drain. */
export function holderName({ repository, runUrl, runAttempt }: GitHubContext): string {
  const run = runUrl === '' ? 'a run outside of GitHub' : `${runUrl} (attempt ${runAttempt})`
  return repository === '' ? run : `${repository}: ${run}`
}

/** The fleet that drains and undrains work on. */
export function fleetOf(
  world: World,
  inputs: ConsulInputs,
  { lease, holder }: { lease: Lease; holder: string },
  more: { release: string; drainTimeoutMs: number; minLive: number },
): Fleet {
  const { client, connections, health, pages } = world
  const drains: Drains = { client, upstream: inputs.upstream, lease, holder }
  return { drains, connections, health, pages, lbIntervalMs: inputs.lb.intervalMs, ...more }
}
