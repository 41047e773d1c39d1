import { type Clock, type Context, prefixedLog } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString, toByteString } from '../ssh/byte-string.ts'
import type { Connection, RemoteProcess } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import { OpeningBlock, openLane, RemoteShell } from '../ssh/remote-shell.ts'
import { type Extra, extraOf } from './archive.ts'
import type { Comparison } from './comparison.ts'
import { placeScripts, planPlace, takeUp } from './in-place.ts'
import { contentId, makeManifest } from './manifest.ts'
import {
  adviceFor,
  type BeginOptions,
  type Ending,
  lockedFailure,
  type SendPlan,
  type SendResult,
  type SiteHost,
  type SiteMode,
  type SiteSettings,
} from './site-host.ts'
import {
  beginning,
  blockOf,
  confirmCode,
  functions,
  type Script,
  statePath,
  TAKE_LOCK,
} from './site-script.ts'
import { type Opened, StateReader } from './site-state.ts'
import { chooseWay, ringBell, transfer } from './transfer.ts'
import { assetList, lists, sentDigest } from './transfer-lists.ts'

/** Sign of life for the lock; a lock without one for two minutes may be taken. */
const BEAT_MS = 20_000
const CLOSE_MS = 1_000
/** Pause between two looks at a lock that another holds. */
const LOCK_RETRY_MS = 500

/** A site through one connection and one shell, which holds the site's lock. */
export class ShellSite implements SiteHost {
  readonly connection: Connection
  readonly #shell: RemoteShell
  readonly settings: SiteSettings
  readonly hasShell = true
  readonly verifies = 'contents'
  readonly #log: Context['log']
  readonly #over = new AbortController()
  #lane: Promise<RemoteProcess> | undefined
  #released = false
  #current: ByteString = ''

  private constructor(connection: Connection, shell: RemoteShell, settings: SiteSettings, context: Context) {
    this.connection = connection
    this.#shell = shell
    this.settings = settings
    this.#log = prefixedLog(context.log, connection.name)
  }

  /** For `open`: what `begin` does first with these options, which then is at work as soon as there is a shell. */
  static opening(settings: SiteSettings, options: BeginOptions): OpeningBlock {
    return new OpeningBlock(blockOf(beginning(settings, options)))
  }

  static async open(
    connection: Connection,
    settings: SiteSettings,
    context: Context,
    opening?: OpeningBlock,
  ): Promise<ShellSite> {
    return new ShellSite(connection, await RemoteShell.open(connection, opening), settings, context)
  }

  /** The way for what is sent, opened while the server still reads how it stands. */
  #laneNow(): Promise<RemoteProcess> {
    this.#lane ??= openLane(this.connection)
    return this.#lane
  }

  get name(): string {
    return this.connection.name
  }

  get current(): ByteString {
    return this.#current
  }

  get mode(): SiteMode {
    return this.settings.mode
  }

  /** Folder of the release that is being put together here. */
  #stagePath(release: string): ByteString {
    return toByteString(
      `${this.settings.target}/${statePath(this.mode)}/staging/${release}+${this.#shell.mark}`,
    )
  }

  /**
   * Takes the lock, waiting up to `lockWaitMs` for it, reads how the site stands, and where `release` is given and
   * not there, starts it. `own` is the token of a run whose remains may be swept away.
   */
  async begin(options: BeginOptions, context: Context): Promise<Opened> {
    const { dryRun } = this.settings
    const give = context.clock.monotonic() + options.lockWaitMs
    let { prelude, code } = beginning(this.settings, options)
    // From the start: what follows the lock in the same block may take longer than a lock without a sign of life lasts.
    if (!dryRun) void this.#beat(context.clock)
    // Its failure is taken up where it is used.
    if (options.release !== undefined && !dryRun) this.#laneNow().catch(() => {})
    for (let shown = false; ; ) {
      const folder = `${this.settings.target}/${statePath(this.mode)}`
      const reader = new StateReader({ host: this.name, path: folder }, options.look)
      await this.#run({
        ...{ code, prelude },
        signal: context.signal,
        onRecord: (name, value) => reader.record(name, value),
        onData: (name, bytes) => reader.data.set(name, bytes),
      }).catch((error: unknown) => {
        this.#over.abort()
        throw error
      })
      if (reader.busy === undefined) {
        this.#shell.define(functions(this.mode, 'rest'))
        const opened = reader.finish()
        this.#current = opened.state.current
        if (reader.copied !== undefined) {
          this.#log.info(`hard links are not possible there (${reader.copied}): unchanged files were copied`)
        }
        return opened
      }
      if (context.clock.monotonic() >= give) {
        throw lockedFailure(this.name, reader.busy, options.lockWaitMs)
      }
      if (!shown) this.#log.info(`waiting for the lock, held by ${reader.busy || 'another run'}`)
      shown = true
      prelude = TAKE_LOCK
      await context.clock.sleep(LOCK_RETRY_MS, context.signal)
    }
  }

  async bring(plan: SendPlan, ending: Ending, context: Context): Promise<SendResult> {
    const { release, tree, opened, mtime } = plan
    const { clock } = context
    const { send, replace } = this.#rest(plan)
    await this.#clear(release, replace, context)
    const sendStart = clock.monotonic()
    const { bell, state } = opened
    let publishing: Promise<void> | undefined
    let isOver = false
    const sending = {
      send,
      extra: () => this.#extra(plan),
      tree,
      stage: this.#stagePath(release),
      bell,
      tools: state.tools,
      lane: this.#laneNow(),
      mtime,
      onPacked: (lanes: number) => {
        // Where the server's shell can wait for what arrives, it is told all it has to do before that has arrived.
        if (bell === undefined || isOver) return
        publishing = this.#publish(plan, lanes, ending, context)
        publishing.catch(() => {})
      },
    }
    const way = await chooseWay(this.connection, sending)
    const result = await transfer(this.connection, sending, way, context).catch(async (error: unknown) => {
      isOver = true
      await this.#giveUp(publishing, bell, context)
      throw error
    })
    const verifyStart = clock.monotonic()
    await (publishing ?? this.#publish(plan, 0, ending, context))
    return {
      ...result,
      filesSent: send.total.files,
      sentMs: verifyStart - sendStart,
      verifiedMs: clock.monotonic() - verifyStart,
    }
  }

  /** What is to travel, and what must go before it from the release in the making. */
  #rest({ comparison, opened }: SendPlan): Pick<Comparison, 'send' | 'replace'> {
    if (this.mode === 'atomic') return comparison
    const arrived = opened.base?.arrived
    // What lies in the way in the site itself goes when the upload takes its place.
    return arrived === undefined ? { send: comparison.send, replace: [] } : takeUp(comparison.send, arrived)
  }

  #extra({ comparison, opened, keepAssets }: SendPlan): Extra[] {
    if (this.mode === 'atomic') {
      const all = lists(comparison, 'meta/manifest.gz')
      if (keepAssets !== undefined) all.push(assetList('meta/assets', comparison.result, keepAssets))
      return all
    }
    const extra = lists(comparison, 'manifest.gz')
    const scripts = placeScripts(planPlace(comparison, opened.base?.manifest ?? makeManifest()))
    return [...extra, ...Object.entries(scripts).map(([name, text]) => extraOf(name, text))]
  }

  /** Ends a `#publish` that still waits for what will not come. */
  async #giveUp(
    publishing: Promise<void> | undefined,
    bell: ByteString | undefined,
    { signal }: Context,
  ): Promise<void> {
    if (publishing === undefined || bell === undefined) return
    // What was killed has not rung.
    await this.connection.script(ringBell(fromByteString(bell), 'broken'), { signal }).catch(() => {})
    await publishing.catch(() => {})
  }

  /** Removes from the release in the making what another kind of thing takes the place of. */
  async #clear(release: string, paths: readonly ByteString[], context: Context): Promise<void> {
    if (paths.length === 0) return
    const folder = `${this.#stagePath(release)}/tree`
    const names = paths.map((path) => quote(`./${path}`)).join(' ')
    await this.#run({ code: `cd ${quote(folder)}\nrm -rf -- ${names}`, signal: context.signal })
  }

  /** Checks what arrives by so many lanes (0: what has arrived) against what was sent, and makes it a release. */
  async #publish(
    { release, comparison, tree, site, owner, linked }: SendPlan,
    lanes: number,
    ending: Ending,
    context: Context,
  ): Promise<void> {
    const shared = linked.map((path) => {
      const folder = path.endsWith('/') ? path : path.split('/').slice(0, -1).join('/')
      return `mkdir -p -- "$root"/shared/${quote(toByteString(folder))}`
    })
    const activation = ending.activate ? ['client_is_there', 'activate'] : []
    const end = ending.finish ? [confirmCode(ending.keep)] : []
    // What is left of the folder that it came in goes at the end.
    const left = ending.finish ? [] : ['discard']
    const all = comparison.result.total
    await this.#change({
      code: ['await_lanes', 'verify', ...shared, 'publish', ...left, ...activation, ...end].join('\n'),
      ...(ending.finish ? { sequel: 'finish' } : {}),
      values: {
        at_once: ending.finish ? 'yes' : '',
        note_before: 'yes',
        keep: String(ending.keep ?? 0),
        release,
        lanes: String(lanes),
        want_digest: sentDigest(comparison.send),
        want_bytes: String(comparison.send.total.bytes),
        want_totals: `${all.files} ${all.bytes}`,
        root_mode: tree.rootMode.toString(8),
        content: contentId(site),
        owner,
      },
      signal: context.signal,
    })
    this.#released = ending.finish
  }

  async discard(release: string): Promise<void> {
    await this.#run({ code: 'give_up', values: { release } })
  }

  async noteAltered(release: string): Promise<void> {
    await this.#run({ code: ': >"$state/meta/$release/altered"', values: { release } })
  }

  async activate(release: string, noteBefore: boolean): Promise<void> {
    await this.#change({ code: 'activate', values: { release, note_before: noteBefore ? 'yes' : '' } })
  }

  async activateAndConfirm(release: string, noteBefore: boolean, keep?: number): Promise<void> {
    const values = { release, note_before: noteBefore ? 'yes' : '', at_once: 'yes', keep: String(keep ?? 0) }
    await this.#change({ code: `activate\n${confirmCode(keep)}`, sequel: 'finish', values })
    this.#released = true
  }

  async goBack(): Promise<void> {
    await this.#change({ code: 'go_back' })
  }

  async confirm(release: string): Promise<void> {
    await this.#change({ code: 'confirm', values: { release } })
  }

  async finish(release: string, keep?: number): Promise<void> {
    const values = { release, keep: String(keep ?? 0) }
    await this.#change({ code: confirmCode(keep), sequel: 'finish', values })
    this.#released = true
  }

  async close(): Promise<void> {
    this.#over.abort()
    if (this.#released) return this.connection.close()
    const patience = AbortSignal.timeout(CLOSE_MS)
    const late = new Promise<void>((resolve) => patience.addEventListener('abort', () => resolve()))
    await Promise.race([this.#shell.close().catch(() => {}), late])
    this.connection.close()
  }

  async #change(script: Script): Promise<void> {
    await this.#run({
      ...script,
      onRecord: (name, value) => {
        if (name === 'current') this.#current = value
        if (name === 'unreachable') {
          this.#log.warn(`${this.name}: not all assets that \`keep-assets\` picks could be kept reachable`)
        }
        if (name === 'unpruned') this.#log.warn(`${this.name}: not all old releases could be removed`)
      },
    })
  }

  async #run(script: Script): Promise<void> {
    let reason: ByteString | undefined
    const { code, noise } = await this.#shell.run(blockOf(script), {
      ...script,
      onRecord: (name, value) => {
        if (name === 'fail') reason = value
        else script.onRecord?.(name, value)
      },
    })
    if (code === 0) return
    const seen = fromByteString(noise).trim().split('\n').slice(-5).join('; ')
    throw new Failure(fromByteString(reason ?? 'a step on the server failed'), {
      host: this.name,
      seen: seen || `exit code ${code}`,
      ...adviceFor(`${reason ?? ''} ${seen}`, this.settings.target),
    })
  }

  /** Only for a lock of its own: a run that waits must not keep another's alive. */
  async #beat(clock: Clock): Promise<void> {
    const state = quote(`${this.settings.target}/${statePath(this.mode)}`)
    const code = `cd ${state}
[ -f beat ] || exit 0
{ read -r _; read -r _; IFS= read -r token; } <holder
if [ "$token" = ${quote(this.settings.token)} ]; then : >beat; fi`
    try {
      for (;;) {
        await clock.sleep(BEAT_MS, this.#over.signal)
        // The next one may arrive.
        await this.connection.script(code).catch(() => {})
      }
    } catch {
      // It is over.
    }
  }
}
