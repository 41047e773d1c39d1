import type { Context } from '../context.ts'
import { type Lock, takeLock } from '../ssh/lock.ts'
import type { Reconnecting } from '../ssh/reconnecting.ts'
import { READ_AND_RUN } from '../ssh/remote-script.ts'
import { cancelUnit, runUnit, type Started, startText, type UnitResult } from '../ssh/unit.ts'
import type { UnitPlan } from '../ssh/unit-script.ts'
import { commitUp, type HistoryEntry, type Journal, wayBack } from './history.ts'
import { commandsDigest, type DeployPlan, type HostOutcome, isUpAlready } from './plan.ts'
import { Shipment } from './push.ts'
import { writeHistory } from './record.ts'
import { prepareRepository } from './repository.ts'
import { type Survey, survey } from './survey.ts'
import { judgeUnit, type Verdict } from './verdict.ts'
import { type Place, preparation, type Task, unitPlan } from './work.ts'

/** One host of a deploy, its lock held. */
export class HostDeploy {
  readonly server: Reconnecting
  readonly plan: DeployPlan
  readonly context: Context
  readonly path: string
  readonly folder: string
  found: Survey
  #lock: Lock | undefined
  #unit = ''
  #head: string | undefined
  #started: { readonly unit: UnitPlan; readonly stream: Started | Promise<Started> } | undefined
  /** What the repository lacks, where the runner sends it. */
  readonly #shipment: Shipment | undefined
  readonly #began: number

  private constructor(server: Reconnecting, plan: DeployPlan, context: Context, found: Survey) {
    this.server = server
    this.plan = plan
    this.context = context
    this.found = found
    this.path = found.path
    this.folder = found.folder
    const { workspace } = plan.source
    // Of the first look: what the repository had then it still has.
    const { stored } = found
    if (workspace && !stored.hasCommit) this.#shipment = new Shipment(() => workspace.pack(plan.sha, stored))
    this.#began = context.clock.monotonic()
    server.onReconnect(() => this.#renewLock())
  }

  /**
   * Makes the repository where there is none, takes the lock, and looks at the checkout again where somebody else may
   * have been there since. `atOnce`: an ordinary deploy begins in the same round trip, for `bring` to follow.
   */
  static async open(
    server: Reconnecting,
    plan: DeployPlan,
    context: Context,
    seen: Survey,
    { atOnce = false } = {},
  ): Promise<HostDeploy> {
    const { repository } = plan.source
    const isReady = seen.known && (seen.origin !== '' || repository === undefined)
    const where = isReady ? seen : await prepareRepository(server.connection, plan.path, repository)
    const host = new HostDeploy(server, plan, context, { ...seen, ...where })
    // While the lock is being taken.
    if (atOnce && !host.isUpAlready) host.#shipment?.prepare()
    try {
      await host.#takeLock(isReady && atOnce)
    } catch (error) {
      void host.#abandon()
      throw error
    }
    return host
  }

  async #takeLock(atOnce: boolean): Promise<void> {
    const { plan, folder, found, context, server } = this
    const next = this.#place(found.fence + 1)
    const unit = atOnce && this.#isOrdinary() ? this.#unitPlan(this.#ownTask, next) : undefined
    const shipment = this.#shipment
    const start = unit && !shipment ? startText(unit, preparation(plan, next)) : undefined
    if (unit && shipment) {
      // In the same round trip; it waits for the lock on the server.
      const stream = this.#startByPush(shipment, unit, next)
      stream.catch(() => {})
      this.#started = { unit, stream }
    }
    this.#lock = await takeLock(
      server.connection,
      {
        ...{ folder, holder: plan.run, id: plan.id, waitMs: plan.lockWaitMs },
        ...(start === undefined ? {} : { work: { after: found.fence, script: start.script } }),
      },
      context,
    )
    const { fence, output } = this.#lock
    if (unit !== undefined && start !== undefined && output !== undefined) {
      this.#started = { unit, stream: { token: start.token, output } }
    }
    const isSame = fence === found.fence + 1 && !found.held && found.known
    if (isSame) return
    await this.#abandon()
    await this.look()
  }

  /** Lets go of what was begun before the lock was had. */
  async #abandon(): Promise<void> {
    const stream = this.#started?.stream
    this.#started = undefined
    const started = await Promise.resolve(stream).catch(() => undefined)
    started?.output.destroy()
  }

  /** Whether nothing has to be decided between the lock and the start of the work. */
  #isOrdinary(): boolean {
    const { held, busy, journal } = this.found
    return !held && !busy && journal === undefined && !this.isUpAlready
  }

  /** Whether the commit seems to be up already, by the same commands. */
  get isUpAlready(): boolean {
    return isUpAlready(this.plan, this.found)
  }

  /** How long the deploy before had been silent when this one took its lock, in ms. */
  get silentMs(): number {
    return this.#held.silentMs
  }

  get logPath(): string {
    return this.#unit === '' ? '' : `${this.folder}/units/${this.#unit}/log`
  }

  /** The commit that is up now, and the one to go back to. */
  get before(): string | undefined {
    return commitUp(this.found.history, this.found.head)
  }

  get wayBack(): string | undefined {
    return wayBack(this.found.history, this.found.head, this.plan.sha)
  }

  get #held(): Lock {
    if (this.#lock === undefined) throw new TypeError('the lock has not been taken')
    return this.#lock
  }

  async look(): Promise<Survey> {
    this.found = await survey(this.server.connection, this.path)
    return this.found
  }

  /** Brings the plan's commit there and runs its checkout, build and up as one unit. Throws when it cannot be had. */
  async bring(): Promise<UnitResult> {
    const place = this.#place(this.#held.fence)
    const unit = this.#started?.unit ?? this.#unitPlan(this.#ownTask, place)
    const result = await this.#follow(unit, place)
    await this.noteHead(result)
    return result
  }

  /** Goes back: runs checkout, build and up of an earlier commit as one unit; `bare` only checks it out. */
  async back(sha: string, { bare = false } = {}): Promise<UnitResult> {
    return this.#follow(this.#unitPlan({ purpose: 'rollback', sha, bare }, this.#place(this.#held.fence)))
  }

  get #ownTask(): Task {
    return { purpose: 'deploy', sha: this.plan.sha }
  }

  #place(fence: number): Place {
    const { path, folder, before, wayBack } = this
    return { host: this.server.name, path, folder, fence, before, wayBack }
  }

  #unitPlan(task: Task, place: Place): UnitPlan {
    return unitPlan(this.plan, place, task, this.context.clock.now())
  }

  /** Runs a unit; `fetchTo` where the plan's commit is brought there before it. */
  async #follow(unit: UnitPlan, fetchTo?: Place): Promise<UnitResult> {
    const { server, context, plan } = this
    this.#unit = unit.name
    const shipment = fetchTo && this.#shipment
    const push = shipment && (() => this.#startByPush(shipment, unit, fetchTo))
    const before = fetchTo && preparation(plan, fetchTo, shipment !== undefined)
    const started = await (this.#started?.stream ?? push?.())
    this.#started = undefined
    let isFirst = true
    const onLine = (line: string) => {
      // For the line of the history; not earlier, when every process on the server delays what is waited for.
      if (isFirst) server.connection.prepare(READ_AND_RUN)
      isFirst = false
      context.log.info(line)
    }
    try {
      return await runUnit(server, unit, onLine, context, { before, started, again: push })
    } catch (error) {
      if (!context.signal.aborted) await shipment?.sent
      // What has been built so far is of no use. `up` is not cut off here: the settle step decides about it.
      if (context.signal.aborted && fetchTo !== undefined) await cancelUnit(server, unit, ['build'])
      throw error
    }
  }

  /** Starts a unit by a script that first takes in what the repository lacks of the commit. */
  async #startByPush(shipment: Shipment, unit: UnitPlan, place: Place): Promise<Started> {
    const { token, script } = startText(unit, preparation(this.plan, place, true))
    return { token, output: await shipment.start(this.server.connection, script, this.context) }
  }

  /** The commit that is checked out for the deploy: not its own where local commits are on top of it. */
  get head(): string {
    return this.#head ?? this.plan.sha
  }

  /** Looks at what the unit of a deploy has checked out, where that may differ from its commit. */
  async noteHead({ phase }: UnitResult): Promise<void> {
    if (this.plan.sync === 'exact' || phase === 'checkout') return
    this.#head = (await survey(this.server.connection, this.path)).head
  }

  /** After a cut the lock was free for a while: goes on only if nobody has had it since. */
  async #renewLock(): Promise<void> {
    if (this.#lock?.lost !== true) return
    const { folder, plan, context } = this
    const request = { folder, holder: plan.run, id: plan.id, waitMs: 60_000, resume: this.#lock.fence }
    this.#lock = await takeLock(this.server.connection, request, context)
  }

  /** Judges how a unit ended and, when it went well, asks for health. */
  judge(unit: UnitResult): Promise<Verdict> {
    return judgeUnit(unit, this.plan, this.server, this.path, this.context)
  }

  /** Writes the deploy into the history and takes the journal away. */
  async record(
    result: HistoryEntry['result'],
    runs: string | undefined,
    why?: string,
    of: Pick<
      Journal,
      'sha' | 'previous' | 'at' | 'actor' | 'run' | 'release' | 'commands'
    > = this.#description(),
  ): Promise<void> {
    const { sha, previous, at, actor, run, release, commands } = of
    await this.server.ensureOpen(this.context)
    const durationMs = Math.max(0, this.context.clock.now() - Date.parse(at))
    const entry: HistoryEntry = {
      ...{ at, sha, previous, result, runs: runs ?? null, durationMs, actor, run, release, commands },
      ...(why === undefined ? {} : { why }),
      ...(sha === this.plan.sha && this.head !== sha ? { head: this.head } : {}),
    }
    await writeHistory(this.server.connection, this.folder, this.#held.fence, entry)
  }

  #description() {
    const { plan, context } = this
    const tookMs = context.clock.monotonic() - this.#began
    return {
      sha: plan.sha,
      previous: this.before ?? null,
      at: new Date(context.clock.now() - tookMs).toISOString(),
      actor: plan.actor,
      run: plan.run,
      release: plan.release,
      commands: commandsDigest(plan),
    }
  }

  outcome(parts: Partial<HostOutcome> & Pick<HostOutcome, 'result' | 'runs' | 'health'>): HostOutcome {
    return {
      host: this.server.name,
      sha: this.plan.sha,
      previous: this.before ?? null,
      changed: true,
      rolledBack: false,
      logPath: this.logPath,
      durationMs: Math.round(this.context.clock.monotonic() - this.#began),
      failure: undefined,
      ...parts,
    }
  }

  async release(): Promise<void> {
    this.#shipment?.drop()
    await this.#lock?.release()
  }
}
