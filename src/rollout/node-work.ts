import { drainNode, newDrainId, noteStep, undrainNode } from '../consul/drain.ts'
import { type JournalEntry, readJournal } from '../consul/journal.ts'
import { parseAddress } from '../consul/node-address.ts'
import { type Context, prefixedLog } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'
import { describeAnswer } from '../health/poll.ts'
import { proveState, unverifiedWait } from '../lb/agreement.ts'
import { type Quiet, SocketWatch } from '../lb/in-flight.ts'
import { pageAddresses } from '../lb/status-page.ts'
import { confirmIn, type Fleet, floorGuard, pollNode } from './fleet.ts'
import type { Work } from './machine.ts'
import { RestartFailed, runRestart } from './restart.ts'

/** What is known about one node of a rollout. */
export interface NodeRecord {
  readonly address: string
  /** Set while a drain of this run, or one that it took over, is open. */
  entry: JournalEntry | undefined
  /** When each piece of work ended, in ms since the rollout's start, and how long it took. */
  readonly times: Partial<Record<Work, { readonly at: number; readonly ms: number }>>
  drainVerified: boolean | undefined
  quiet: Quiet | undefined
  /** The node's last answer to a health probe, in words. */
  lastAnswer: string | undefined
}

/** Carries out each piece of work on nodes, and records what was seen. */
export class NodeWork {
  readonly #fleet: Fleet
  readonly #restart: string | undefined
  readonly #context: Context
  readonly #startedAt: number
  readonly #records = new Map<string, NodeRecord>()
  readonly #watches = new Map<string, SocketWatch>()
  readonly #drainIds = new Map<string, string>()

  /** `restart` may be left out where nothing is restarted. `adopted` are drains that earlier runs have left. */
  constructor(
    fleet: Fleet,
    { restart, adopted = [] }: { restart?: string; adopted?: readonly JournalEntry[] },
    context: Context,
  ) {
    this.#fleet = fleet
    this.#restart = restart
    this.#context = context
    this.#startedAt = context.clock.monotonic()
    for (const entry of adopted) this.record(entry.address).entry = entry
  }

  record(address: string): NodeRecord {
    const known = this.#records.get(address)
    if (known) return known
    const none = { entry: undefined, drainVerified: undefined, quiet: undefined, lastAnswer: undefined }
    const record: NodeRecord = { address, times: {}, ...none }
    this.#records.set(address, record)
    return record
  }

  /** Does one piece of work. Rejects with what went wrong. */
  async perform(work: Work, address: string, signal: AbortSignal, name = address): Promise<void> {
    const { clock, log } = this.#context
    const context = { log: prefixedLog(log, name), clock, signal }
    const start = clock.monotonic()
    await this.#do(work, this.record(address), context)
    const end = clock.monotonic()
    this.record(address).times[work] = { at: end - this.#startedAt, ms: end - start }
  }

  #do(work: Work, record: NodeRecord, context: Context): Promise<void> {
    switch (work) {
      case 'drain':
        return this.#drain(record, context)
      case 'prove':
        return this.#prove(record, context)
      case 'quiet':
        return this.#quiet(record, context)
      case 'restart':
        return this.#doRestart(record, context)
      case 'check':
        return this.#check(record, context)
      case 'undrain':
        return this.#undrain(record, context)
      case 'confirm':
        return this.#confirm(record, context)
    }
  }

  async #drain(record: NodeRecord, context: Context): Promise<void> {
    const { address } = record
    const watch = await this.#watch(address)
    const id = newDrainId()
    this.#drainIds.set(address, id)
    await watch.firstLook(context)
    record.entry = await drainNode(
      this.#fleet.drains,
      { address, id, release: this.#fleet.release },
      floorGuard(this.#fleet, context),
      context,
    )
    context.log.info('drained in Consul')
  }

  async #prove(record: NodeRecord, context: Context): Promise<void> {
    const { address } = record
    const { pages, lbIntervalMs } = this.#fleet
    if (pages === undefined) {
      const wait = unverifiedWait(lbIntervalMs)
      context.log.warn(
        `the drain is unverified (no \`lb-status\`): waiting ${formatDuration(wait)} for the load balancers to follow`,
      )
      await context.clock.sleep(wait, context.signal)
      record.drainVerified = false
      return
    }
    const watch = await this.#watch(address)
    const loadBalancers = await pageAddresses(pages)
    const { samples } = await proveState(pages, address, 'down', lbIntervalMs, context, ({ signal }) =>
      watch.objection(loadBalancers, signal),
    )
    record.drainVerified = true
    const table = watch.observable ? ', and no new request reached the node' : ''
    context.log.info(`out: ${samples} answers of the load balancers agree${table}`)
  }

  async #quiet(record: NodeRecord, context: Context): Promise<void> {
    const watch = await this.#watch(record.address)
    const cap = this.#fleet.drainTimeoutMs
    if (!watch.observable) {
      context.log.warn(
        `requests in flight are unobservable (the node's socket table shows none of them): waiting all of \`drain-timeout\`, ${formatDuration(cap)}`,
      )
    }
    record.quiet = await watch.untilQuiet(cap, context)
    const { left } = record.quiet
    if (left === 0) context.log.info('quiet: no request is at work')
    else if (left !== undefined)
      context.log.warn(`${left} requests are still at work after ${formatDuration(cap)}`)
  }

  async #doRestart(record: NodeRecord, context: Context): Promise<void> {
    const { connections, drains, release } = this.#fleet
    const { address, entry } = record
    const node = parseAddress(address)
    if (this.#restart === undefined || connections === undefined || !entry || !node) {
      throw new TypeError('nothing to restart')
    }
    const connection = await connections.get(address)
    // From here on the lease is known to be held: the note is written only under it.
    const begun = await noteStep(drains, entry, 'restarting', { release }, context)
    record.entry = begun
    context.signal.throwIfAborted()
    context.log.info('restarting')
    try {
      await runRestart(connection, { command: this.#restart, address, ...node, release }, context)
    } catch (error) {
      if (error instanceof RestartFailed) record.entry = await noteStep(drains, begun, 'failed', {}, context)
      throw error
    }
    record.entry = await noteStep(drains, begun, 'restarted', {}, context)
  }

  async #check(record: NodeRecord, context: Context): Promise<void> {
    const result = await pollNode(this.#fleet, record.address, context)
    if (result === undefined) return context.log.warn('nothing was checked: no health check is given')
    record.lastAnswer = describeAnswer(result.last)
    if (result.healthy) return
    throw new Failure(`not healthy after ${formatDuration(result.durationMs)}`, { seen: record.lastAnswer })
  }

  async #undrain(record: NodeRecord, context: Context): Promise<void> {
    const { drains, release } = this.#fleet
    const entry = record.entry ?? (await this.#findOwn(record.address, context))
    if (entry === undefined) return
    const updated = entry.step === 'restarted'
    await undrainNode(drains, entry, updated ? { release } : {}, context)
    record.entry = undefined
    context.log.info(updated ? 'back in Consul' : 'put back in Consul as it was')
  }

  async #confirm({ address }: NodeRecord, context: Context): Promise<void> {
    await confirmIn(this.#fleet, address, context)
    if (this.#fleet.pages) context.log.info('in: the load balancers agree')
  }

  /** The entry of a drain whose answer never came. */
  async #findOwn(address: string, context: Context): Promise<JournalEntry | undefined> {
    const id = this.#drainIds.get(address)
    const { client, upstream } = this.#fleet.drains
    const journal = await readJournal(client, upstream, context)
    return journal.find((entry) => entry.address === address && entry.id === id)
  }

  async #watch(address: string): Promise<SocketWatch> {
    const known = this.#watches.get(address)
    if (known) return known
    const node = parseAddress(address)
    if (node === undefined) throw new TypeError(`not an address: ${address}`)
    const { connections } = this.#fleet
    const connection = connections?.has(address) ? await connections.get(address) : undefined
    const watch = new SocketWatch(connection, node)
    this.#watches.set(address, watch)
    return watch
  }
}
