import { createHash } from 'node:crypto'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { describeAnswer, type PollResult } from '../health/poll.ts'
import { type Lock, takeLock } from '../ssh/lock.ts'
import { quote } from '../ssh/quote.ts'
import type { Reconnecting } from '../ssh/reconnecting.ts'
import { cancelUnit, runUnit, type UnitResult } from '../ssh/unit.ts'
import type { Phase, UnitPlan } from '../ssh/unit-script.ts'
import { checkoutScript } from './checkout.ts'
import { commitUp, type HistoryEntry, type Journal, wayBack } from './history.ts'
import { fetchCommit, prepareRepository, type Source } from './repository.ts'
import { type Survey, survey } from './survey.ts'

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
  #lock: Lock
  #unit = ''
  #head: string | undefined
  readonly #began: number

  private constructor(server: Reconnecting, plan: DeployPlan, context: Context, found: Survey, lock: Lock) {
    this.server = server
    this.plan = plan
    this.context = context
    this.found = found
    this.path = found.path
    this.folder = found.folder
    this.#lock = lock
    this.#began = context.clock.monotonic()
    server.onReconnect(() => this.#renewLock())
  }

  /** Makes the repository where there is none, takes the lock and looks at the checkout again under it. */
  static async open(
    server: Reconnecting,
    plan: DeployPlan,
    context: Context,
    found: Survey,
  ): Promise<HostDeploy> {
    const { repository } = plan.source
    const isReady = found.known && (found.origin !== '' || repository === undefined)
    const { path, folder } = isReady
      ? found
      : await prepareRepository(server.connection, plan.path, repository)
    const request = { folder, holder: plan.run, waitMs: plan.lockWaitMs }
    const lock = await takeLock(server.connection, request, context)
    return new HostDeploy(server, plan, context, await survey(server.connection, path), lock)
  }

  /** How long the deploy before had been silent when this one took its lock, in ms. */
  get silentMs(): number {
    return this.#lock.silentMs
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

  async look(): Promise<Survey> {
    this.found = await survey(this.server.connection, this.path)
    return this.found
  }

  async fetch(): Promise<void> {
    await fetchCommit(this.server.connection, this.path, this.plan.sha, this.plan.source, this.context)
  }

  /** Runs checkout, build and up of a commit as one unit; `bare` only checks it out. */
  async run(purpose: Journal['purpose'], sha: string, { bare = false } = {}): Promise<UnitResult> {
    const { plan, context } = this
    const stamp = new Date(context.clock.now()).toISOString().replaceAll(/[-:]/g, '').replace('.', '-')
    this.#unit = `${stamp}-${plan.id.slice(0, 8)}-${purpose}`
    const journal: Journal = {
      id: plan.id,
      unit: this.#unit,
      purpose,
      sha: plan.sha,
      previous: this.before ?? null,
      wayBack: this.wayBack ?? null,
      at: new Date(context.clock.now()).toISOString(),
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
    const unit: UnitPlan = {
      name: this.#unit,
      folder: this.folder,
      cwd: this.path,
      fence: this.#lock.fence,
      journal: JSON.stringify(journal),
      phases: [
        { name: 'checkout', script: checkout, timeoutMs: plan.timeoutMs, onCancel: 'finish' },
        ...(bare ? [] : [commands('build', plan.build, 'end-all'), commands('up', plan.up, 'end-group')]),
      ],
    }
    try {
      const result = await runUnit(this.server, unit, (line) => context.log.info(line), context)
      if (purpose === 'deploy') await this.noteHead(result)
      return result
    } catch (error) {
      // What has been built so far is of no use. `up` is not cut off here: the settle step decides about it.
      if (context.signal.aborted && purpose === 'deploy') await cancelUnit(this.server, unit, ['build'])
      throw error
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
    if (!this.#lock.lost) return
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
[ "$(cat "$folder/fence")" -le ${this.#lock.fence} ]
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
    await this.#lock.release()
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
