import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { type Context, prefixedLog } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString, toByteString } from '../ssh/byte-string.ts'
import type { Connection } from '../ssh/connection.ts'
import { Sftp } from '../ssh/sftp.ts'
import { ifThere, makeFolder, makeFolders } from '../ssh/sftp-files.ts'
import { SftpError } from '../ssh/sftp-session.ts'
import { SftpDesk } from './sftp-desk.ts'
import { SftpLease } from './sftp-lease.ts'
import { SftpPlace } from './sftp-place.ts'
import { SftpReleases } from './sftp-releases.ts'
import type { TreeResult } from './sftp-tree.ts'
import {
  adviceFor,
  type BeginOptions,
  type Ending,
  type Look,
  lockedFailure,
  type SendPlan,
  type SendResult,
  type SiteHost,
  type SiteSettings,
} from './site-host.ts'
import type { Base, Opened, SiteState } from './site-state.ts'

/** One way of serving, through SFTP. */
export interface SftpWork {
  readonly current: ByteString
  describe(): Promise<Pick<SiteState, 'current' | 'releases' | 'pending'>>
  /** Undefined where the release is there. */
  claim(release: string, look: Look): Promise<Base | undefined>
  /** Brings it to a staging folder. */
  send(plan: SendPlan, context: Context): Promise<TreeResult>
  /** Checks what came of it, and makes it a release. */
  publish(plan: SendPlan): Promise<void>
  discard(): Promise<void>
  activate(release: string, noteBefore: boolean): Promise<void>
  goBack(): Promise<void>
  confirm(release: string): Promise<void>
  prune(keep: number): Promise<void>
}

const RENAME = 'posix-rename@openssh.com'
const CLOSE_MS = 5_000
/** As remote-code.ts has it. */
const SHELL_EXPIRY_S = 120
const RETRY_MS = 500

/** A site on a server that gives this login SFTP and no commands. The lock is a lease, see sftp-lease.ts. */
export class SftpSite implements SiteHost {
  readonly connection: Connection
  readonly settings: SiteSettings
  readonly hasShell = false
  readonly #desk: SftpDesk
  readonly #work: SftpWork
  #look: Look = 'stored'

  private constructor(connection: Connection, sftp: Sftp, settings: SiteSettings, log: Context['log']) {
    this.connection = connection
    this.settings = settings
    const root = toByteString(settings.target)
    const state = settings.mode === 'atomic' ? `${root}/releases/.evenkeel` : `${root}/.evenkeel`
    const mark = randomBytes(12).toString('hex')
    this.#desk = new SftpDesk(sftp, root, state, mark, prefixedLog(log, connection.name))
    this.#work = settings.mode === 'atomic' ? new SftpReleases(this.#desk) : new SftpPlace(this.#desk)
  }

  /** Throws a `Failure` where there is no SFTP, or where it or this step's inputs cannot do without a shell. */
  static async open(connection: Connection, settings: SiteSettings, context: Context): Promise<SftpSite> {
    const { needsShell } = settings
    const seen = 'this login runs no commands, it may only use SFTP'
    const refuse = (what: string, hint: string) => {
      throw new Failure(what, { host: connection.name, seen, state: 'nothing was changed there.', hint })
    }
    if (needsShell.length > 0) {
      const list = needsShell.map((name) => `\`${name}\``).join(', ')
      refuse(
        `${list} cannot be had without a shell on the server`,
        `leave ${needsShell.length === 1 ? 'it' : 'them'} out, or give the deploy user a shell`,
      )
    }
    // Each request leaves some garbage, which by default may grow to several times of what is in use.
    setFlagsFromString('--heap-growing-percent=20')
    const sftp = await Sftp.open(connection)
    if (!sftp.extensions.has(RENAME)) {
      refuse(
        `the SFTP server does not offer ${RENAME}`,
        'without it nothing can be replaced by one rename: use OpenSSH there, or give the deploy user a shell',
      )
    }
    const how = sftp.extensions.has('hardlink@openssh.com') ? 'hard links' : 'copies'
    context.log.info(
      `${connection.name}: ${seen}: working through SFTP (${how} for unchanged files; sizes are checked, contents are not read back unless \`verify\` is full)`,
    )
    return new SftpSite(connection, sftp, settings, context.log)
  }

  get name(): string {
    return this.connection.name
  }

  get mode() {
    return this.settings.mode
  }

  get current(): ByteString {
    return this.#work.current
  }

  get verifies() {
    return this.#look === 'hashed' ? 'contents' : 'sizes'
  }

  begin(options: BeginOptions, context: Context): Promise<Opened> {
    return this.#told(async () => {
      const { sftp, root } = this.#desk
      this.#look = options.look ?? 'stored'
      if (!this.settings.dryRun) await this.#lock(options, context)
      const described = await this.#work.describe()
      const base =
        options.release === undefined ? undefined : await this.#work.claim(options.release, this.#look)
      const space = (await ifThere(sftp.freeSpace(root)))?.bytes ?? Number.MAX_SAFE_INTEGER
      const state = { ...described, current: this.current, freeBytes: space, tools: new Set<string>() }
      return { state, base, bell: undefined }
    })
  }

  async #lock({ lockWaitMs, own = '' }: BeginOptions, context: Context): Promise<void> {
    const { sftp, root, state, mark } = this.#desk
    await makeFolders(sftp, root, 0o755)
    if (this.mode === 'atomic') await makeFolder(sftp, `${root}/releases`, 0o755)
    await makeFolder(sftp, state, 0o700)
    await Promise.all(['meta', 'staging'].map((name) => makeFolder(sftp, `${state}/${name}`, 0o755)))
    const { token, holder } = this.settings
    const request = { state, mark, token, holder, own, waitMs: lockWaitMs }
    this.#desk.lease = await SftpLease.take(sftp, request, { ...context, log: this.#desk.log })
    await this.#waitForShell(lockWaitMs, context)
  }

  /** A run that has a shell on the same site holds a lock of another kind, with signs of life in `beat`. */
  async #waitForShell(lockWaitMs: number, { clock, signal }: Context): Promise<void> {
    const { sftp, state, lease, log } = this.#desk
    const giveUp = clock.monotonic() + lockWaitMs
    for (let isShown = false; ; ) {
      const beat = await ifThere(sftp.lstat(`${state}/beat`))
      const now = (await sftp.lstat(`${lease?.folder}/beat`)).mtime
      if (beat === undefined || now - beat.mtime > SHELL_EXPIRY_S) return
      const name = fromByteString((await this.#desk.lines(`${state}/holder`))[1] ?? '')
      if (clock.monotonic() >= giveUp) throw lockedFailure(this.name, name, lockWaitMs)
      if (!isShown) log.info(`waiting for the lock, held by ${name || 'another run'}`)
      isShown = true
      await clock.sleep(RETRY_MS, signal)
    }
  }

  bring(plan: SendPlan, ending: Ending, context: Context): Promise<SendResult> {
    const { clock, signal } = context
    return this.#told(async () => {
      const start = clock.monotonic()
      const { bytesOnWire, filesSent } = await this.#work.send(plan, context)
      const sent = clock.monotonic()
      await this.#work.publish(plan)
      const verified = clock.monotonic()
      if (ending.activate) {
        signal.throwIfAborted()
        await this.#work.activate(plan.release, true)
      }
      if (ending.finish) await this.#finish(plan.release, ending.keep)
      const times = { sentMs: sent - start, verifiedMs: verified - sent }
      return { bytesOnWire, filesSent, codec: 'sftp', lanes: 1, ...times }
    })
  }

  discard(): Promise<void> {
    return this.#told(() => this.#work.discard())
  }

  /** No commands run there. */
  async noteAltered(): Promise<void> {}

  activate(release: string, noteBefore: boolean): Promise<void> {
    return this.#told(() => this.#work.activate(release, noteBefore))
  }

  activateAndConfirm(release: string, noteBefore: boolean, keep?: number): Promise<void> {
    return this.#told(async () => {
      await this.#work.activate(release, noteBefore)
      await this.#finish(release, keep)
    })
  }

  goBack(): Promise<void> {
    return this.#told(() => this.#work.goBack())
  }

  confirm(release: string): Promise<void> {
    return this.#told(() => this.#work.confirm(release))
  }

  finish(release: string, keep?: number): Promise<void> {
    return this.#told(() => this.#finish(release, keep))
  }

  async #finish(release: string, keep: number | undefined): Promise<void> {
    await this.#work.confirm(release)
    // What cannot be removed is no reason to fail a deploy that stands.
    try {
      if (keep !== undefined) await this.#work.prune(keep)
      await this.#desk.lease?.release()
    } catch (error) {
      if (!(error instanceof SftpError)) throw error
      this.#desk.log.warn(`not all old releases could be removed: ${error.message} (${error.details.seen})`)
    }
  }

  async close(): Promise<void> {
    const patience = AbortSignal.timeout(CLOSE_MS)
    const late = new Promise<void>((resolve) => patience.addEventListener('abort', () => resolve()))
    await Promise.race([this.#desk.lease?.release().catch(() => {}), late])
    this.#desk.sftp.close()
    this.connection.close()
  }

  /** What the server says is little: what to do about it is added here. */
  async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof SftpError) || error.details.hint !== undefined) throw error
      const { sftp, root } = this.#desk
      const space = await sftp.freeSpace(root).catch(() => undefined)
      const seen = space?.isReadOnly ? `${error.details.seen}; a read-only file system` : error.details.seen
      throw new Failure(error.message, {
        ...error.details,
        seen,
        ...adviceFor(`${seen}`, this.settings.target),
        cause: error,
      })
    }
  }
}
