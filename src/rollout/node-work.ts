import { drainNode, type Guard, newDrainId, noteStep, undrainNode } from '../consul/drain.ts'
import { type JournalEntry, readJournal } from '../consul/journal.ts'
import { parseAddress } from '../consul/node-address.ts'
import { type Context, prefixedLog } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'
import { describeAnswer } from '../health/poll.ts'
import { proveState, unverifiedWait } from '../lb/agreement.ts'
import { type Quiet, SocketWatch } from '../lb/in-flight.ts'
import { pageAddresses } from '../lb/status-page.ts'
import { BelowFloor, confirmIn, type Fleet, floorGuard, pollNode, probeOf } from './fleet.ts'
import { claimNode, RestartFailed, runRestart, type UnitFolder, unitName } from './restart.ts'
import type { Work } from './state.ts'

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
  /** The last lines of its restart's log. */
  restartLines: readonly string[]
}

/** Tries the new version by a command of the workflow. Rejects when it is not good. */
export type Trying = (
  which: 'verify-drained' | 'verify',
  node: { readonly address: string; readonly ip: string; readonly port: number },
  context: Context,
) => Promise<void>

/** What is done with nodes besides taking them out and putting them back. */
export interface Upgrade {
  /** Remote commands. */
  readonly restart: string
  readonly revert: string
  /** Drains that earlier runs have left. */
  readonly adopted: readonly JournalEntry[]
  /** The release that each node had before, as far as Consul knows. */
  readonly before: ReadonlyMap<string, string>
  readonly canaries: readonly string[]
  readonly bakeMs: number
  readonly tryOut: Trying
}

/** Bad answers of a canary in a row that end its watch. */
const BAD_IN_A_ROW = 2

/** Carries out each piece of work on nodes, and records what was seen. */
export class NodeWork {
  readonly #fleet: Fleet
  readonly #upgrade: Upgrade | undefined
  readonly #context: Context
  readonly #startedAt: number
  readonly #records = new Map<string, NodeRecord>()
  readonly #watches = new Map<string, SocketWatch>()
  readonly #drainIds = new Map<string, string>()
  /** Nodes that the load balancers are being asked for. */
  readonly #returning = new Set<Promise<void>>()

  /** `upgrade` is left out where nodes are only taken out and put back. */
  constructor(fleet: Fleet, upgrade: Upgrade | undefined, context: Context) {
    this.#fleet = fleet
    this.#upgrade = upgrade
    this.#context = context
    this.#startedAt = context.clock.monotonic()
    for (const entry of upgrade?.adopted ?? []) this.record(entry.address).entry = entry
  }

  record(address: string): NodeRecord {
    const known = this.#records.get(address)
    if (known) return known
    const none = { entry: undefined, drainVerified: undefined, quiet: undefined, lastAnswer: undefined }
    const record: NodeRecord = { address, times: {}, restartLines: [], ...none }
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
      case 'revert':
        return this.#doRestart(work, record, context)
      case 'verify-drained':
      case 'verify':
        return this.#tryOut(work, record, context)
      case 'bake':
        return this.#bake(context)
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
    const watch = this.#watch(address)
    if (this.#upgrade !== undefined) await this.#claim(address, context)
    const id = newDrainId()
    this.#drainIds.set(address, id)
    await watch.firstLook(context)
    record.entry = await drainNode(
      this.#fleet.drains,
      { address, id, release: this.#fleet.release },
      this.#patientGuard(context),
      context,
    )
    context.log.info('drained in Consul')
  }

  /** Asks again when the nodes that are on their way back are there, if it is they who are missing. */
  #patientGuard(context: Context): Guard {
    const guard = floorGuard(this.#fleet, context)
    return async (others) => {
      const returning = [...this.#returning]
      try {
        return await guard(others)
      } catch (error) {
        if (!(error instanceof BelowFloor) || returning.length === 0) throw error
        context.log.info(`${error.message}: waiting for those that are on their way back`)
        await Promise.allSettled(returning)
        context.signal.throwIfAborted()
        return guard(others)
      }
    }
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
    const watch = this.#watch(address)
    const loadBalancers = await pageAddresses(pages)
    const { samples } = await proveState(pages, address, 'down', lbIntervalMs, context, ({ signal }) =>
      watch.objection(loadBalancers, signal),
    )
    record.drainVerified = true
    const table = watch.observable ? ', and no new request reached the node' : ''
    context.log.info(`out: ${samples} answers of the load balancers agree${table}`)
  }

  async #quiet(record: NodeRecord, context: Context): Promise<void> {
    const watch = this.#watch(record.address)
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

  async #doRestart(work: 'restart' | 'revert', record: NodeRecord, context: Context): Promise<void> {
    const { connections, drains } = this.#fleet
    const { address, entry } = record
    const node = parseAddress(address)
    if (this.#upgrade === undefined || connections === undefined || !entry || !node) {
      throw new TypeError('nothing to restart')
    }
    const folder = await this.#claim(address, context)
    const { fence } = drains.lease
    const unit = unitName(work, this.#fleet.release, fence)
    const release = work === 'restart' ? this.#fleet.release : (this.#upgrade.before.get(address) ?? '')
    // From here on the lease is known to be held: the note is written only under it.
    const begun = await noteStep(drains, entry, 'restarting', { release, unit }, context)
    record.entry = begun
    context.signal.throwIfAborted()
    context.log.info(work === 'restart' ? 'restarting' : 'taking it back')
    const command = this.#upgrade[work]
    const restart = { unit, command, address, ...node, release: this.#fleet.release, fence }
    try {
      record.restartLines = await runRestart(await connections.server(address), folder, restart, context)
    } catch (error) {
      if (error instanceof RestartFailed) record.entry = await noteStep(drains, begun, 'failed', {}, context)
      throw error
    }
    record.entry = await noteStep(drains, begun, 'restarted', {}, context)
  }

  async #tryOut(work: 'verify-drained' | 'verify', record: NodeRecord, context: Context): Promise<void> {
    const { address, entry } = record
    const node = parseAddress(address)
    if (this.#upgrade === undefined || node === undefined) throw new TypeError('nothing to try')
    context.log.info(`running \`${work}\``)
    try {
      await this.#upgrade.tryOut(work, { address, ...node }, context)
    } catch (error) {
      // Whoever finds the node later must not take it for one that is only waiting to go back.
      if (entry && !context.signal.aborted) {
        record.entry = await noteStep(this.#fleet.drains, entry, 'failed', {}, context)
      }
      throw error
    }
  }

  /** Watches the canaries in the pool. */
  async #bake({ clock, log, signal }: Context): Promise<void> {
    const { canaries, bakeMs } = this.#upgrade ?? { canaries: [], bakeMs: 0 }
    log.info(`watching the canary for ${formatDuration(bakeMs)}`)
    const end = clock.monotonic() + bakeMs
    const interval = Math.max(this.#fleet.health?.policy.intervalMs ?? bakeMs, 50)
    const bad = new Map<string, number>()
    for (let rest = bakeMs; rest > 0; rest = end - clock.monotonic()) {
      await clock.sleep(Math.min(interval, rest), signal)
      for (const address of canaries) {
        const answer = await probeOf(this.#fleet, address)?.(signal)
        signal.throwIfAborted()
        const times = answer === undefined || answer.ok ? 0 : (bad.get(address) ?? 0) + 1
        bad.set(address, times)
        if (answer === undefined || times < BAD_IN_A_ROW) continue
        throw new Failure(`${address} is not healthy any more`, { seen: describeAnswer(answer) })
      }
    }
  }

  /** Shuts out earlier leases from the node, before anything is changed there. */
  async #claim(address: string, context: Context): Promise<UnitFolder> {
    const { connections, drains } = this.#fleet
    if (connections === undefined) throw new TypeError('nobody can log in')
    const { upstream, lease } = drains
    return claimNode(await connections.server(address), { upstream, address, fence: lease.fence }, context)
  }

  async #check(record: NodeRecord, context: Context): Promise<void> {
    const result = await pollNode(this.#fleet, record.address, context)
    if (result === undefined) return context.log.warn('nothing was checked: no health check is given')
    record.lastAnswer = describeAnswer(result.last)
    if (result.healthy) return
    const lines = record.restartLines
    const log = lines.length === 0 ? '' : `; its restart said: ${lines.join(' / ')}`
    throw new Failure(`not healthy after ${formatDuration(result.durationMs)}`, {
      seen: `${record.lastAnswer}${log}`,
    })
  }

  async #undrain(record: NodeRecord, context: Context): Promise<void> {
    const { drains } = this.#fleet
    const entry = record.entry ?? (await this.#findOwn(record.address, context))
    if (entry === undefined) return
    const updated = entry.step === 'restarted'
    await undrainNode(drains, entry, updated ? { release: entry.release } : {}, context)
    record.entry = undefined
    context.log.info(updated ? 'back in Consul' : 'put back in Consul as it was')
  }

  async #confirm({ address }: NodeRecord, context: Context): Promise<void> {
    const shown = confirmIn(this.#fleet, address, context)
    this.#returning.add(shown)
    try {
      await shown
    } finally {
      this.#returning.delete(shown)
    }
    if (this.#fleet.pages) context.log.info('in: the load balancers agree')
  }

  /** The entry of a drain whose answer never came. */
  async #findOwn(address: string, context: Context): Promise<JournalEntry | undefined> {
    const id = this.#drainIds.get(address)
    const { client, upstream } = this.#fleet.drains
    const journal = await readJournal(client, upstream, context)
    return journal.find((entry) => entry.address === address && entry.id === id)
  }

  #watch(address: string): SocketWatch {
    const known = this.#watches.get(address)
    if (known) return known
    const node = parseAddress(address)
    if (node === undefined) throw new TypeError(`not an address: ${address}`)
    const { connections } = this.#fleet
    const connect = connections?.has(address) ? () => connections.get(address) : undefined
    const watch = new SocketWatch(connect, node)
    this.#watches.set(address, watch)
    return watch
  }
}
