import type { Drains, Guard } from '../consul/drain.ts'
import { parseAddress } from '../consul/node-address.ts'
import type { Context } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { describeError, Failure } from '../failure.ts'
import type { HealthCheck } from '../health/check.ts'
import {
  type Answer,
  describeAnswer,
  type PollPolicy,
  type PollResult,
  type Probe,
  pollHealth,
} from '../health/poll.ts'
import { makeProbe } from '../health/probe.ts'
import { proveState, unverifiedWait } from '../lb/agreement.ts'
import { readStatusPage, type StatusPages } from '../lb/status-page.ts'
import type { Outlook } from '../ssh/steady-connection.ts'
import type { NodeConnections } from './connections.ts'

/** How a node's health is checked. */
export interface FleetHealth {
  readonly check: HealthCheck
  readonly policy: PollPolicy
  /** `node`: through that node's SSH connection. */
  readonly from: 'node' | 'runner' | Outlook
}

/** An upstream's nodes and all that is needed to see how they are. */
export interface Fleet {
  readonly drains: Drains
  readonly release: string
  /** Undefined where no node is logged in to. */
  readonly connections: NodeConnections | undefined
  /** Undefined where nothing is checked. */
  readonly health: FleetHealth | undefined
  /** Undefined where no load balancer can be asked. */
  readonly pages: StatusPages | undefined
  readonly lbIntervalMs: number
  readonly drainTimeoutMs: number
  readonly minLive: number
}

/** Too few nodes serve for another one to go out. */
export class BelowFloor extends Failure {}

/** A transaction holds 64 operations, some of which are not checks of counted nodes. */
export const MOST_COUNTED = 60

/** The probe for one node; undefined where nothing is checked. Never takes another way than the one asked for. */
export function probeOf({ health, connections, release }: Fleet, address: string): Probe | undefined {
  if (health === undefined) return undefined
  const node = parseAddress(address)
  if (node === undefined) throw new TypeError(`not an address: ${address}`)
  const { ip } = node
  const port = String(node.port)
  const subject = {
    placeholders: { address, ip, port, name: address },
    tcpHost: ip,
    env: { EVENKEEL_RELEASE: release, EVENKEEL_IP: ip, EVENKEEL_PORT: port, EVENKEEL_ADDRESS: address },
  }
  const { check, from } = health
  if (from !== 'node') return makeProbe(check, from, subject)
  if (!connections?.has(address)) {
    throw new Failure(`the health of ${address} cannot be asked from the node`, {
      hint: 'give the SSH inputs and its target in `nodes`, or set `health-from`',
    })
  }
  // Asked for each time: the connection may have broken since.
  return async (signal) => {
    try {
      return await makeProbe(check, await connections.get(address), subject)(signal)
    } catch (error) {
      return { ok: false, error: describeError(error).replaceAll('\n', ' ') }
    }
  }
}

/** Polls until the node is well or the time is over; undefined where nothing is checked. */
export async function pollNode(
  fleet: Fleet,
  address: string,
  context: Context,
  longestMs = Number.POSITIVE_INFINITY,
): Promise<PollResult | undefined> {
  const probe = probeOf(fleet, address)
  if (probe === undefined || fleet.health === undefined) return undefined
  const { policy } = fleet.health
  return pollHealth(probe, { ...policy, timeoutMs: Math.min(policy.timeoutMs, longestMs) }, context)
}

/** Waits until every load balancer has the node back; where none can be asked, as long as they may take. */
export async function confirmIn(
  { pages, lbIntervalMs }: Fleet,
  address: string,
  context: Context,
): Promise<void> {
  if (pages === undefined) {
    const wait = unverifiedWait(lbIntervalMs)
    context.log.info(
      `waiting ${formatDuration(wait)} for the load balancers to have it back (no \`lb-status\`)`,
    )
    return context.clock.sleep(wait, context.signal)
  }
  await proveState(pages, address, 'up', lbIntervalMs, context)
}

/**
 * Decides by up to three witnesses which nodes serve: Consul calls them up, every load balancer's page does, and they
 * answer when asked. Those that count are enough to hold the floor; their keys must not change until the drain.
 */
export function floorGuard(fleet: Fleet, context: Context): Guard {
  const { signal } = context
  return async (others) => {
    const { minLive, pages } = fleet
    const tooFew = (live: number, witness: string, seen?: string) =>
      new BelowFloor(`only ${live} other nodes serve (${witness}), the floor \`min-live\` is ${minLive}`, {
        seen,
        state: 'no further node was taken out.',
        hint: 'bring the nodes that are down back first',
      })
    if (others.length < minLive) throw tooFew(others.length, 'Consul')
    // From the far side of the circle: nodes that go out at the same time are neighbours, and must not count on
    // each other.
    const far = Math.floor(others.length / 2)
    let live = [...others.slice(far), ...others.slice(0, far)]
    for (const url of pages?.urls ?? []) {
      const peers = await readStatusPage(url, pages as StatusPages, signal)
      live = live.filter(({ address }) => peers.get(address)?.down === false)
      if (live.length < minLive) throw tooFew(live.length, `the load balancer ${url}`)
    }
    if (fleet.health === undefined) return live.slice(0, MOST_COUNTED)
    const wanted = Math.min(minLive, MOST_COUNTED)
    const counted: (typeof live)[number][] = []
    const unwell: string[] = []
    for (let from = 0; from < live.length && counted.length < wanted; ) {
      const asked = live.slice(from, from + wanted - counted.length)
      from += asked.length
      const answers = await Promise.all(asked.map(({ address }) => askOnce(fleet, address, context)))
      for (const [index, answer] of answers.entries()) {
        const node = asked[index]
        if (node === undefined) continue
        if (answer.ok) counted.push(node)
        else unwell.push(`${node.address}: ${describeAnswer(answer)}`)
      }
    }
    if (counted.length < minLive) throw tooFew(counted.length, 'asked directly', unwell.join('; '))
    return counted
  }
}

/** Answers that several drains at about the same time share, in ms: else a batch asks each node once per drain. */
const ANSWER_KEEPS_MS = 1_000
const answers = new WeakMap<Fleet, Map<string, { at: number; answer: Promise<Answer> }>>()

async function askOnce(fleet: Fleet, address: string, { clock, signal }: Context): Promise<Answer> {
  const known = answers.get(fleet) ?? new Map<string, { at: number; answer: Promise<Answer> }>()
  answers.set(fleet, known)
  const now = clock.monotonic()
  let one = known.get(address)
  if (one === undefined || now - one.at > ANSWER_KEEPS_MS) {
    // Not bound to the one who asks first: a probe ends by itself within seconds.
    one = { at: now, answer: ask(fleet, address) }
    known.set(address, one)
  }
  const answer = await one.answer
  signal.throwIfAborted()
  return answer
}

async function ask(fleet: Fleet, address: string): Promise<Answer> {
  // What the inputs lack for it is no answer of the node's.
  const probe = probeOf(fleet, address)
  try {
    return (await probe?.(new AbortController().signal)) ?? { ok: true }
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) }
  }
}
