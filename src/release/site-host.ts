import { type Context, prefixedLog } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import { type ByteString, fromByteString, RemoteShell, toByteString } from '../ssh/remote-shell.ts'
import { decodeManifest, type Entry, isInsidePath, type Manifest, makeManifest } from './manifest.ts'
import { LIBRARY } from './remote-code.ts'

export interface SiteSettings {
  /** The site's root on the server. */
  readonly target: string
  /** Who works here, for others who find it locked: the run's address. */
  readonly holder: string
  /** Random, of this step: its settle phase knows its own remains by it. */
  readonly token: string
  /** Changes nothing, takes no lock. */
  readonly dryRun: boolean
}

export interface ReleaseInfo {
  readonly id: string
  /** Identity of its content, see `contentId`. */
  readonly content: string
  /** `good` once it was confirmed, `failed` when it was gone back from. */
  readonly state: 'new' | 'good' | 'failed'
  /** The release that it replaced. */
  readonly before: string | undefined
}

/** How a site stands on one server. */
export interface SiteState {
  /** Text of the link `current`, '' when there is none. */
  readonly current: ByteString
  /** Newest first. */
  readonly releases: readonly ReleaseInfo[]
  /** An activation that nobody confirmed: its run died. */
  readonly pending: { readonly release: string; readonly returnTo: ByteString } | undefined
  readonly freeBytes: number
  readonly tools: ReadonlySet<string>
}

/** What a new release is built from. */
export interface Base {
  readonly kind: 'none' | 'release' | 'staging'
  readonly manifest: Manifest
}

export interface Opened {
  readonly state: SiteState
  /** Undefined when the release is there already, or when none was asked for. */
  readonly base: Base | undefined
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

  get name(): string {
    return this.connection.name
  }

  /** Text of the link `current` as last seen. */
  get current(): ByteString {
    return this.#current
  }

  /** Folder of the release that is being put together here. */
  stagePath(release: string): ByteString {
    return toByteString(`${this.#settings.target}/releases/.evenkeel/staging/${release}+${this.#shell.mark}`)
  }

  /**
   * Takes the lock, waiting up to `lockWaitMs` for it, reads how the site stands, and where `release` is given and
   * not there, starts it: `onBase` is called while the server still links the files of the base.
   * `own` is the token of a run whose remains may be swept away.
   */
  async begin(
    options: { release?: string; lockWaitMs: number; own?: string },
    context: Context,
  ): Promise<Opened> {
    const { target, holder, token, dryRun } = this.#settings
    const give = context.clock.monotonic() + options.lockWaitMs
    const variables = {
      root: toByteString(target),
      hold_text: toByteString(holder.replaceAll(/\s+/g, ' ')),
      token,
      own: options.own ?? '',
      locked: dryRun ? 'not needed' : '',
      release: options.release ?? '',
      dry: dryRun ? 'yes' : '',
    }
    let prelude = `${assignments(variables)}\n${LIBRARY}`
    const steps = ['[ -n "$locked" ] || exit 0', 'describe', options.release === undefined ? '' : 'claim']
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

  /** Checks what has arrived against what was sent, and makes it a release. */
  async publish(
    values: {
      release: string
      digest: string
      files: number
      bytes: number
      rootMode: number
      content: string
      owner: string
      linked: readonly string[]
    },
    context: Context,
  ): Promise<void> {
    const shared = values.linked.map((path) => {
      const folder = path.endsWith('/') ? path : path.split('/').slice(0, -1).join('/')
      return `mkdir -p -- "$root"/shared/${quote(toByteString(folder))}`
    })
    await this.#run({
      code: ['verify', ...shared, 'publish'].join('\n'),
      values: {
        release: values.release,
        want_digest: values.digest,
        want_totals: `${values.files} ${values.bytes}`,
        root_mode: values.rootMode.toString(8),
        content: values.content,
        owner: values.owner,
      },
      signal: context.signal,
    })
  }

  /** Points `current` at a release, noting where to go back to until `confirm`. */
  async activate(release: string, noteBefore: boolean): Promise<void> {
    await this.#change({ code: 'activate', values: { release, note_before: noteBefore ? 'yes' : '' } })
  }

  /** Undoes an activation that is not confirmed; does nothing where there is none. */
  async goBack(): Promise<void> {
    await this.#change({ code: 'go_back' })
  }

  /** From here on the release stands; older ones beyond `keep` go, where it is given. */
  async confirm(release: string, keep?: number): Promise<void> {
    const code = keep === undefined ? 'confirm' : 'confirm\nprune'
    await this.#run({ code, values: { release, keep: String(keep ?? 0) } })
  }

  /** Gives the lock back and ends the connection; what a cancel broke off is not waited for long. */
  async close(): Promise<void> {
    clearInterval(this.#beat)
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
    const file = quote(`${this.#settings.target}/releases/.evenkeel/beat`)
    const beat = () => void this.connection.script(`: >${file}`).catch(() => {})
    beat()
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

/** Collects what `describe` and `claim` print. */
class StateReader {
  readonly data = new Map<string, Buffer>()
  busy: string | undefined
  copied: string | undefined
  #base: Base['kind'] | undefined
  #current: ByteString = ''
  #pending: SiteState['pending']
  #free = Number.MAX_SAFE_INTEGER
  readonly #releases: ReleaseInfo[] = []
  readonly #tools = new Set<string>()

  record(name: string, value: ByteString): void {
    const [first = '', ...rest] = value.split(' ')
    switch (name) {
      case 'busy':
        this.busy = fromByteString(value)
        break
      case 'copied':
        this.copied = fromByteString(value)
        break
      case 'current':
        this.#current = value
        break
      case 'pending':
        this.#pending = { release: first, returnTo: rest.join(' ') }
        break
      case 'release':
        this.#releases.push({
          id: first,
          content: rest[0] ?? '',
          state: rest[1] as ReleaseInfo['state'],
          before: rest[2] || undefined,
        })
        break
      case 'free':
        if (/^\d+$/.test(value)) this.#free = Number(value) * 1024
        break
      case 'tool':
        this.#tools.add(value)
        break
      case 'base':
        this.#base = first as Base['kind']
    }
  }

  finish(): Opened {
    const state = {
      current: this.#current,
      releases: this.#releases,
      pending: this.#pending,
      freeBytes: this.#free,
      tools: this.#tools,
    }
    return { state, base: this.#base && { kind: this.#base, manifest: this.#manifest(this.#base) } }
  }

  #manifest(kind: Base['kind']): Manifest {
    const stored = this.data.get('manifest')
    if (kind === 'release' && stored !== undefined) return decodeManifest(stored)
    return kind === 'staging' ? this.#inventory() : new Map()
  }

  /** What an earlier attempt has brought over: files by their true content; folders get their modes anew. */
  #inventory(): Manifest {
    const list = (name: string) => (this.data.get(name) ?? Buffer.alloc(0)).toString('latin1')
    const paths = (name: string) =>
      list(name)
        .split('\0')
        .map((path) => path.replace(/^\.\//, ''))
        .filter((path) => path !== '.' && path !== '')
    const hashes = list('hashes').split('\n')
    const modes = list('modes').split('\n')
    const names = paths('names')
    // Without a line for each file it is not known which belongs to which.
    if (hashes.length !== names.length + 1 || modes.length !== names.length + 1) {
      throw new Failure('what an earlier, unfinished upload left behind cannot be read', {
        hint: 'remove the folder releases/.evenkeel/staging on the server',
      })
    }
    const files = names.map((path, index): Entry => {
      const [mode = '0', size = '0'] = (modes[index] ?? '').split(' ')
      return {
        type: 'file',
        path,
        mode: Number.parseInt(mode, 8),
        size: Number(size),
        hash: hashes[index] ?? '',
      }
    })
    const folders = paths('folders').map((path): Entry => ({ type: 'folder', path, mode: -1 }))
    return makeManifest([...files, ...folders].filter(({ path }) => isInsidePath(path)))
  }
}

/** The release that a link names, undefined when it is not one of ours. */
export function releaseOf(link: ByteString): string | undefined {
  return /^releases\/([^/]+)$/.exec(link)?.[1]
}
