import { type Context, prefixedLog } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection, RemoteProcess } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import { type ByteString, fromByteString, openLane, RemoteShell, toByteString } from '../ssh/remote-shell.ts'
import { IN_PLACE_CODE } from './in-place-code.ts'
import { RELEASES_CODE } from './releases-code.ts'
import { COMMON_CODE } from './remote-code.ts'
import { type Opened, StateReader } from './site-state.ts'

/** `atomic`: releases and a link; `in-place`: files straight in the target. */
export type SiteMode = 'atomic' | 'in-place'

export interface SiteSettings {
  readonly mode: SiteMode
  /** The site's root on the server. */
  readonly target: string
  /** Who works here, for others who find it locked: the run's address. */
  readonly holder: string
  /** Random, of this step: its settle phase knows its own remains by it. */
  readonly token: string
  /** Changes nothing, takes no lock. */
  readonly dryRun: boolean
}

/** What is done in the same round trip as the last step before it. */
export interface Ending {
  readonly activate: boolean
  /** Confirm it, prune, and give the lock back. */
  readonly finish: boolean
  readonly keep?: number | undefined
}

interface Script {
  readonly code: string
  /** Shell variables, quoted. */
  readonly values?: Readonly<Record<string, ByteString>>
  readonly prelude?: string
  readonly signal?: AbortSignal
  readonly onRecord?: (name: string, value: ByteString) => void
  readonly onData?: (name: string, bytes: Buffer) => void
}

/** Sign of life for the lock; a lock without one for two minutes may be taken. */
const BEAT_MS = 20_000
const CLOSE_MS = 1_000
/** Pause between two looks at a lock that another holds. */
const LOCK_RETRY_MS = 500

/** A site on one server, through one connection and one shell that holds the site's lock. */
export class SiteHost {
  readonly connection: Connection
  readonly #shell: RemoteShell
  readonly #settings: SiteSettings
  readonly #log: Context['log']
  #beat: NodeJS.Timeout | undefined
  #lane: Promise<RemoteProcess> | undefined
  #released = false
  #current: ByteString = ''

  private constructor(connection: Connection, shell: RemoteShell, settings: SiteSettings, context: Context) {
    this.connection = connection
    this.#shell = shell
    this.#settings = settings
    this.#log = prefixedLog(context.log, connection.name)
  }

  static async open(connection: Connection, settings: SiteSettings, context: Context): Promise<SiteHost> {
    return new SiteHost(connection, await RemoteShell.open(connection), settings, context)
  }

  /** The way for what is sent, opened while the server still reads how it stands. */
  get lane(): Promise<RemoteProcess> {
    this.#lane ??= openLane(this.connection)
    return this.#lane
  }

  get name(): string {
    return this.connection.name
  }

  /** Text of the link `current` as last seen. */
  get current(): ByteString {
    return this.#current
  }

  get mode(): SiteMode {
    return this.#settings.mode
  }

  get #statePath(): string {
    return this.mode === 'atomic' ? 'releases/.evenkeel' : '.evenkeel'
  }

  /** Folder of the release that is being put together here. */
  stagePath(release: string): ByteString {
    return toByteString(`${this.#settings.target}/${this.#statePath}/staging/${release}+${this.#shell.mark}`)
  }

  /**
   * Takes the lock, waiting up to `lockWaitMs` for it, reads how the site stands, and where `release` is given and
   * not there, starts it: `onBase` is called while the server still links the files of the base.
   * `own` is the token of a run whose remains may be swept away.
   */
  async begin(
    options: { release?: string; lockWaitMs: number; own?: string; full?: boolean },
    context: Context,
  ): Promise<Opened> {
    const { target, holder, token, dryRun } = this.#settings
    const give = context.clock.monotonic() + options.lockWaitMs
    const variables = {
      root: toByteString(target),
      state_path: this.#statePath,
      hold_text: toByteString(holder.replaceAll(/\s+/g, ' ')),
      token,
      own: options.own ?? '',
      locked: dryRun ? 'not needed' : '',
      release: options.release ?? '',
      dry: dryRun ? 'yes' : '',
      full: options.full ? 'yes' : '',
    }
    let prelude = `${assignments(variables)}\n${COMMON_CODE}${this.mode === 'atomic' ? RELEASES_CODE : IN_PLACE_CODE}`
    const steps = ['[ -n "$locked" ] || exit 0', 'describe', options.release === undefined ? '' : 'claim']
    // Its failure is taken up where it is used.
    if (options.release !== undefined && !dryRun) this.lane.catch(() => {})
    for (let shown = false; ; ) {
      const reader = new StateReader()
      if (!dryRun) prelude += '\nprepared=\nif prepare 2>&1; then prepared=yes; take_lock; fi'
      const guard = dryRun ? '' : '[ -n "$prepared" ] || fail "the folder cannot be used"'
      await this.#run({
        code: [guard, ...steps].join('\n'),
        prelude,
        signal: context.signal,
        onRecord: (name, value) => reader.record(name, value),
        onData: (name, bytes) => reader.data.set(name, bytes),
      })
      if (reader.busy === undefined) {
        if (!dryRun) this.#startBeat()
        const opened = reader.finish()
        this.#current = opened.state.current
        if (reader.copied !== undefined) {
          this.#log.info(`hard links are not possible there (${reader.copied}): unchanged files were copied`)
        }
        return opened
      }
      if (context.clock.monotonic() >= give) throw this.#locked(reader.busy, options.lockWaitMs)
      if (!shown) this.#log.info(`waiting for the lock, held by ${reader.busy || 'another run'}`)
      shown = true
      prelude = ''
      await context.clock.sleep(LOCK_RETRY_MS, context.signal)
    }
  }

  /** Removes from the release in the making what another kind of thing takes the place of. */
  async clear(release: string, paths: readonly ByteString[], context: Context): Promise<void> {
    const folder = `${this.stagePath(release)}/tree`
    const names = paths.map((path) => quote(`./${path}`)).join(' ')
    await this.#run({ code: `cd ${quote(folder)}\nrm -rf -- ${names}`, signal: context.signal })
  }

  /** Checks what arrives against what was sent, and makes it a release. */
  async publish(
    values: {
      release: string
      /** Ways by which it arrives, to be waited for; 0 where it has arrived. */
      lanes: number
      digest: string
      sentBytes: number
      files: number
      bytes: number
      rootMode: number
      content: string
      owner: string
      linked: readonly string[]
    },
    ending: Ending,
    context: Context,
  ): Promise<void> {
    const shared = values.linked.map((path) => {
      const folder = path.endsWith('/') ? path : path.split('/').slice(0, -1).join('/')
      return `mkdir -p -- "$root"/shared/${quote(toByteString(folder))}`
    })
    const activation = ending.activate ? ['client_is_there', 'activate'] : []
    const end = ending.finish ? [confirmCode(ending.keep), 'unlock'] : []
    await this.#change({
      code: ['await_lanes', 'verify', ...shared, 'publish', ...activation, ...end].join('\n'),
      values: {
        note_before: 'yes',
        keep: String(ending.keep ?? 0),
        release: values.release,
        lanes: String(values.lanes),
        want_digest: values.digest,
        want_bytes: String(values.sentBytes),
        want_totals: `${values.files} ${values.bytes}`,
        root_mode: values.rootMode.toString(8),
        content: values.content,
        owner: values.owner,
      },
      signal: context.signal,
    })
    this.#released = ending.finish
  }

  /** Ends a `publish` that still waits for what will not come. */
  async giveUp(
    publishing: Promise<void> | undefined,
    bell: ByteString | undefined,
    context: Context,
  ): Promise<void> {
    if (publishing === undefined || bell === undefined) return
    // What was killed has not rung.
    const { signal } = context
    await this.connection.script(`echo broken 1<>${quote(fromByteString(bell))}`, { signal }).catch(() => {})
    await publishing.catch(() => {})
  }

  /** Removes what has arrived of a release that cannot come to its end. */
  async discard(release: string): Promise<void> {
    await this.#run({ code: 'discard', values: { release } })
  }

  /** Points `current` at a release, noting where to go back to until `confirm`. */
  async activate(release: string, noteBefore: boolean): Promise<void> {
    await this.#change({ code: 'activate', values: { release, note_before: noteBefore ? 'yes' : '' } })
  }

  /** Both in one round trip, where nothing has to be looked at between them. */
  async activateAndConfirm(release: string, noteBefore: boolean, keep?: number): Promise<void> {
    const values = { release, note_before: noteBefore ? 'yes' : '', keep: String(keep ?? 0) }
    await this.#change({ code: `activate\n${confirmCode(keep)}\nunlock`, values })
    this.#released = true
  }

  /** Undoes an activation that is not confirmed; does nothing where there is none. */
  async goBack(): Promise<void> {
    await this.#change({ code: 'go_back' })
  }

  /** From here on the release stands. */
  async confirm(release: string): Promise<void> {
    await this.#change({ code: 'confirm', values: { release } })
  }

  /** Confirms, and ends the work here: older releases beyond `keep` go, where it is given, and so does the lock. */
  async finish(release: string, keep?: number): Promise<void> {
    const values = { release, keep: String(keep ?? 0) }
    await this.#change({ code: `${confirmCode(keep)}\nunlock`, values })
    this.#released = true
  }

  /** Gives the lock back and ends the connection; what a cancel broke off is not waited for long. */
  async close(): Promise<void> {
    clearInterval(this.#beat)
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
        if (name === 'unpruned') this.#log.warn(`${this.name}: not all old releases could be removed`)
      },
    })
  }

  async #run(script: Script): Promise<void> {
    let reason: ByteString | undefined
    const { code, noise } = await this.#shell.run(`${assignments(script.values ?? {})}\n${script.code}`, {
      prelude: script.prelude ?? '',
      ...(script.signal === undefined ? {} : { signal: script.signal }),
      onRecord: (name, value) => {
        if (name === 'fail') reason = value
        else script.onRecord?.(name, value)
      },
      ...(script.onData === undefined ? {} : { onData: script.onData }),
    })
    if (code === 0) return
    const seen = fromByteString(noise).trim().split('\n').slice(-5).join('; ')
    throw new Failure(fromByteString(reason ?? 'a step on the server failed'), {
      host: this.name,
      seen: seen || `exit code ${code}`,
      hint: hintFor(`${reason ?? ''} ${seen}`, this.#settings.target),
    })
  }

  #startBeat(): void {
    if (this.#beat !== undefined) return
    const file = quote(`${this.#settings.target}/${this.#statePath}/beat`)
    const beat = () => void this.connection.script(`: >${file}`).catch(() => {})
    this.#beat = setInterval(beat, BEAT_MS)
  }

  #locked(holder: string, waitedMs: number): Failure {
    return new Failure('another deploy of this site is at work', {
      host: this.name,
      seen: `the lock is held by ${holder || 'a run that left no name'}`,
      state: 'this step changed nothing.',
      hint:
        waitedMs === 0
          ? 'wait for it and run again, or set `lock-wait`'
          : 'look at that run; the lock goes with its process',
    })
  }
}

/** What cannot be removed is no reason to fail a deploy that stands. */
function confirmCode(keep: number | undefined): string {
  return keep === undefined ? 'confirm' : 'confirm\nprune || say unpruned'
}

function hintFor(text: string, target: string): string {
  if (/no space left|disk quota/i.test(text))
    return 'free some space there, or keep fewer releases (`keep-releases`)'
  if (/permission denied|not permitted|read-only/i.test(text)) {
    return `let the deploy user write there: on the server, chown it to that user, for example: sudo install -d -o USER ${quote(target)}`
  }
  if (/not a symbolic link/.test(text))
    return 'move it away: the action makes it a link to the release that is served'
  if (/not from an upload/.test(text)) return 'choose another `release`, or move that folder away'
  if (/content that arrived|instead of/.test(text)) return 'run the job again; nothing was activated'
  return 'look at the folder on the server, then run the job again'
}

function assignments(values: Readonly<Record<string, ByteString>>): ByteString {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${quote(value)}`)
    .join('\n')
}
