import { createHash } from 'node:crypto'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { describeAnswer, type PollResult } from '../health/poll.ts'
import { type Lock, takeLock } from '../ssh/lock.ts'
import { quote } from '../ssh/quote.ts'
import type { Reconnecting } from '../ssh/reconnecting.ts'
import { READ_AND_RUN } from '../ssh/remote-script.ts'
import {
  cancelUnit,
  type Preparation,
  runUnit,
  type Started,
  startText,
  type UnitResult,
} from '../ssh/unit.ts'
import type { Phase, UnitPlan } from '../ssh/unit-script.ts'
import { checkoutScript } from './checkout.ts'
import { commitUp, type HistoryEntry, type Journal, wayBack } from './history.ts'
import { pushObjects } from './push.ts'
import { fetchFailure, fetchScript, prepareRepository, type Source } from './repository.ts'
import { type Survey, survey } from './survey.ts'

/** Status of a preparation that was not needed any more. */
const LOCK_LOST = 68

/** What to bring to every host of a step. */
export interface DeployPlan {
  /** Unique to this deploy. */
  readonly id: string
  /** The checkout, absolute or below the user's home. */
  readonly path: string
  readonly sha: string
  readonly release: string
  readonly source: Source
  readonly build: string
  readonly up: string
  readonly env: Readonly<Record<string, string>>
  /** For each of build and up. */
  readonly timeoutMs: number
  readonly lockWaitMs: number
  /** How long work of a deploy whose runner is silent is left alone, in ms: the runner may connect again. */
  readonly reconnectGraceMs: number
  /** `rebase`: local commits of the checkout are kept on top of the commit. */
  readonly sync: 'exact' | 'rebase'
  readonly onFailure: 'rollback' | 'stop'
  /** Who deploys, for others: the run's address. */
  readonly run: string
  readonly actor: string
  /** Polls the health of the app on a server; undefined where nothing is to be checked. */
  readonly health: ((server: Reconnecting, cwd: string, context: Context) => Promise<PollResult>) | undefined
}

/** What a deploy has done to one host. */
export interface HostOutcome {
  readonly host: string
  readonly sha: string
  readonly previous: string | null
  readonly changed: boolean
  readonly rolledBack: boolean
  readonly result: HistoryEntry['result']
  /** The commit that is up now; null where that is not known. */
  readonly runs: string | null
  readonly logPath: string
  readonly durationMs: number
  readonly health: string
  readonly failure: Failure | undefined
}

/** How a unit and the health check after it came out. */
export interface Verdict {
  readonly good: boolean
  readonly phase: string
  /** For example `build failed with exit code 2`. */
  readonly what: string
  readonly seen: string
  readonly health: string
}

/** Digest of the commands; values of `env` are not part of it, since nothing of them may be kept. */
export function commandsDigest({ build, up, sync }: DeployPlan): string {
  return createHash('sha256')
    .update(JSON.stringify([build, up, sync]))
    .digest('hex')
    .slice(0, 16)
}

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
  #started: { readonly unit: UnitPlan; readonly stream: Started } | undefined
  readonly #began: number

  private constructor(server: Reconnecting, plan: DeployPlan, context: Context, found: Survey) {
    this.server = server
    this.plan = plan
    this.context = context
    this.found = found
    this.path = found.path
    this.folder = found.folder
    this.#began = context.clock.monotonic()
    server.onReconnect(() => this.#renewLock())
  }

  /**
   * Makes the repository where there is none, takes the lock, and looks at the checkout again where somebody else may
   * have been there since. `atOnce`: an ordinary deploy begins in the same round trip, for \`bring\` to follow.
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
    await host.#takeLock(isReady && atOnce)
    return host
  }

  async #takeLock(atOnce: boolean): Promise<void> {
    const { plan, folder, found, context, server } = this
    const unit =
      atOnce && this.#isOrdinary() ? this.#unitPlan('deploy', plan.sha, found.fence + 1) : undefined
    const start = unit && startText(unit, this.#preparation(found.fence + 1))
    this.#lock = await takeLock(
      server.connection,
      {
        ...{ folder, holder: plan.run, waitMs: plan.lockWaitMs },
        ...(start === undefined ? {} : { work: { after: found.fence, script: start.script } }),
      },
      context,
    )
    const { fence, output } = this.#lock
    if (unit !== undefined && start !== undefined && output !== undefined) {
      this.#started = { unit, stream: { token: start.token, output } }
    }
    const isSame = fence === found.fence + 1 && !found.held && found.known
    if (!isSame) await this.look()
  }

  /** Whether nothing has to be decided between the lock and the start of the work. */
  #isOrdinary(): boolean {
    const { held, busy, journal } = this.found
    return (
      !held && !busy && journal === undefined && !this.isUpAlready && this.plan.source.workspace === undefined
    )
  }

  /** Whether the commit seems to be up already, by the same commands. */
  get isUpAlready(): boolean {
    const { plan, found } = this
    const newest = found.history.at(-1)
    return (
      found.head === (newest?.head ?? plan.sha) &&
      found.changedFiles.length === 0 &&
      newest?.result === 'ok' &&
      newest.sha === plan.sha &&
      newest.commands === commandsDigest(plan) &&
      // Their values are kept nowhere, so that nobody can tell whether they are the same.
      Object.keys(plan.env).length === 0
    )
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
    const { plan, server, context } = this
    const { workspace } = plan.source
    if (workspace !== undefined) await pushObjects(server.connection, this.path, plan.sha, workspace, context)
    const { fence } = this.#held
    const unit = this.#started?.unit ?? this.#unitPlan('deploy', plan.sha, fence)
    const result = await this.#follow(unit, 'deploy', this.#preparation(fence))
    await this.noteHead(result)
    return result
  }

  /** The commit is fetched right before the unit starts, and only if this deploy is still alive then. */
  #preparation(fence: number): Preparation {
    const { path, folder, plan, server } = this
    const script = `${fetchScript(path, plan.sha, plan.source)}
folder=${quote(folder)}
read -r fence <"$folder/fence"
[ "$fence" = ${fence} ] && ! flock -s -n 7 7>>"$folder/deploy.lock" || exit ${LOCK_LOST}`
    const explain = (code: number, output: string) =>
      code === LOCK_LOST
        ? new Failure('the lock was lost while the commit was fetched', {
            host: server.name,
            state: 'the checkout and what runs are as they were.',
            hint: 'run the job again',
          })
        : fetchFailure(server.name, plan.sha, plan.source, code, output)
    return { script, explain }
  }

  /** Goes back: runs checkout, build and up of an earlier commit as one unit; `bare` only checks it out. */
  async back(sha: string, { bare = false } = {}): Promise<UnitResult> {
    return this.#follow(this.#unitPlan('rollback', sha, this.#held.fence, bare), 'rollback')
  }

  async #follow(unit: UnitPlan, purpose: Journal['purpose'], before?: Preparation): Promise<UnitResult> {
    const { server, context } = this
    this.#unit = unit.name
    const options = { ...(before && { before }), started: this.#started?.stream }
    this.#started = undefined
    let isFirst = true
    const onLine = (line: string) => {
      // For the line of the history; not earlier, when every process on the server delays what is waited for.
      if (isFirst) server.connection.prepare(READ_AND_RUN)
      isFirst = false
      context.log.info(line)
    }
    try {
      return await runUnit(server, unit, onLine, context, options)
    } catch (error) {
      // What has been built so far is of no use. `up` is not cut off here: the settle step decides about it.
      if (context.signal.aborted && purpose === 'deploy') await cancelUnit(server, unit, ['build'])
      throw error
    }
  }

  #unitPlan(purpose: Journal['purpose'], sha: string, fence: number, bare = false): UnitPlan {
    const { plan, context } = this
    const now = new Date(context.clock.now()).toISOString()
    const stamp = now.replaceAll(/[-:]/g, '').replace('.', '-')
    const name = `${stamp}-${plan.id.slice(0, 8)}-${purpose}`
    const journal: Journal = {
      id: plan.id,
      unit: name,
      purpose,
      sha: plan.sha,
      previous: this.before ?? null,
      wayBack: this.wayBack ?? null,
      at: now,
      actor: plan.actor,
      run: plan.run,
      release: plan.release,
      commands: commandsDigest(plan),
    }
    const release = purpose === 'deploy' ? plan.release : `${sha.slice(0, 7)}-rollback`
    const env = { ...plan.env, EVENKEEL_RELEASE: release }
    // What `up` has put apart from itself is the app, which is meant to live on.
    const commands = (name: string, script: string, onCancel: Phase['onCancel']): Phase => ({
      name,
      script: `${script}\n`,
      env,
      timeoutMs: plan.timeoutMs,
      onCancel,
    })
    const how = purpose === 'deploy' ? plan.sync : 'back'
    const checkout = checkoutScript(sha, `${stamp}-${sha.slice(0, 7)}`, how)
    return {
      name,
      folder: this.folder,
      cwd: this.path,
      fence,
      journal: JSON.stringify(journal),
      phases: [
        { name: 'checkout', script: checkout, timeoutMs: plan.timeoutMs, onCancel: 'finish' },
        ...(bare ? [] : [commands('build', plan.build, 'end-all'), commands('up', plan.up, 'end-group')]),
      ],
    }
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
    const request = { folder, holder: plan.run, waitMs: 60_000, resume: this.#lock.fence }
    this.#lock = await takeLock(this.server.connection, request, context)
  }

  /** Judges how a unit ended and, when it went well, asks for health. */
  async judge(unit: UnitResult): Promise<Verdict> {
    const { phase } = unit
    if (unit.outcome !== 'ok') {
      const seen = unit.lastLines.join('\n  ')
      return { good: false, phase, what: describeUnit(unit, this.plan.timeoutMs), seen, health: 'not asked' }
    }
    const { health } = this.plan
    if (health === undefined) {
      this.context.log.info('no health check is configured: nothing was checked')
      return { good: true, phase, what: '', seen: '', health: 'not checked' }
    }
    const polled = await health(this.server, this.path, this.context)
    const answer = describeAnswer(polled.last)
    if (polled.healthy) return { good: true, phase, what: '', seen: '', health: answer }
    const what = `not healthy after ${polled.attempts} probes in ${Math.round(polled.durationMs)} ms`
    const log = unit.lastLines.length > 0 ? `; last lines of the log:\n  ${unit.lastLines.join('\n  ')}` : ''
    return { good: false, phase: 'health', what, seen: `${answer}${log}`, health: answer }
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
    const written = await this.server.connection.script(String.raw`
folder=${quote(this.folder)}
[ "$(cat "$folder/fence")" -le ${this.#held.fence} ]
umask 077
printf '%s\n' ${quote(JSON.stringify(entry))} >>"$folder/history.jsonl"
rm -f "$folder/current.json"`)
    if (written.code !== 0) {
      throw new Failure('the history on the server could not be written', {
        host: this.server.name,
        seen: written.stderr.trim() || 'a later run has taken over',
        state: runs === undefined ? 'what runs there is not known.' : `${runs.slice(0, 7)} is up there.`,
        hint: 'check the free disk space there',
      })
    }
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
    await this.#lock?.release()
  }
}

function describeUnit({ outcome, phase, code }: UnitResult, timeoutMs: number): string {
  switch (outcome) {
    case 'timeout':
      return `\`${phase}\` did not end within ${timeoutMs} ms and was ended`
    case 'cancelled':
      return `\`${phase}\` was cancelled`
    case 'lost':
      return `\`${phase}\` ended without a result: the server was restarted, or its disk is full`
    default:
      return `\`${phase}\` failed with exit code ${code}${code > 128 ? ` (as after signal ${code - 128})` : ''}`
  }
}
