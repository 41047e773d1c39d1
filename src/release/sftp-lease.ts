import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString, toByteString } from '../ssh/byte-string.ts'
import type { Sftp } from '../ssh/sftp.ts'
import { ifThere, isMissing, readFile, removeTree, writeFile } from '../ssh/sftp-files.ts'
import { SftpError } from '../ssh/sftp-session.ts'
import { lockedFailure } from './site-host.ts'

// A lock without a process on the server. In the folder of the action:
//
// lease/holder             mark of who holds it, token of its step, its name for people
// lease/<mark>/            the holder's own: what it commits is renamed from here to its place
// lease/<mark>/beat        written anew all the time; its age by the server's clock tells whether the holder lives
// lease.new.<mark>/        the same of one who waits: taking the lease is one rename of it
// lease.gone.<mark>/       on its way out
//
// When another has taken over, the old holder's folder is no longer where it was: a rename that it sends late fails.

export interface LeaseRequest {
  /** The folder of the action, which exists. */
  readonly state: ByteString
  /** Random, of this connection. */
  readonly mark: string
  readonly token: string
  readonly holder: string
  /** Token of a step whose lease may be taken at once. */
  readonly own: string
  readonly waitMs: number
}

const BEAT_MS = 10_000
/** A holder of whom nothing was heard for so long has gone. */
const EXPIRY_S = 60
/** It stops well before that by itself: its clock may run slow, and a request takes its time. */
const HELD_MS = 40_000
const RETRY_MS = 500

interface Holder {
  readonly mark: string
  readonly token: string
  readonly name: string
}

export class SftpLease {
  readonly #sftp: Sftp
  readonly #request: LeaseRequest
  readonly #context: Context
  readonly #timer: NodeJS.Timeout
  #heldUntil: number
  #isLost = false

  private constructor(sftp: Sftp, request: LeaseRequest, context: Context, heldUntil: number) {
    this.#sftp = sftp
    this.#request = request
    this.#context = context
    this.#heldUntil = heldUntil
    this.#timer = setInterval(() => void this.#beat(), BEAT_MS)
  }

  /** Takes the lease, waiting for it where asked; throws a `Failure` that names the holder where it stays taken. */
  static async take(sftp: Sftp, request: LeaseRequest, context: Context): Promise<SftpLease> {
    const { clock, signal } = context
    const { state, mark, token, holder } = request
    const fresh = `${state}/lease.new.${mark}`
    const name = toByteString(holder.replaceAll(/\s+/g, ' '))
    const giveUp = clock.monotonic() + request.waitMs
    await sftp.mkdir(fresh, 0o700)
    await sftp.mkdir(`${fresh}/${mark}`, 0o700)
    await writeFile(sftp, `${fresh}/holder`, Buffer.from(`${mark}\n${token}\n${name}\n`, 'latin1'))
    try {
      for (let shown = false; ; ) {
        const sentAt = clock.monotonic()
        await writeFile(sftp, `${fresh}/${mark}/beat`, Buffer.from('.'))
        if (await movedTo(sftp, fresh, `${state}/lease`)) {
          return new SftpLease(sftp, request, context, sentAt + HELD_MS)
        }
        const { mtime: now } = await sftp.lstat(`${fresh}/${mark}/beat`)
        const seen = await readHolder(sftp, state)
        if (await mayTake(sftp, request, seen, now)) {
          if (await putAside(sftp, request, seen)) {
            context.log.info(
              `took over the lock of ${fromByteString(seen?.name ?? '') || 'a run that left no name'}`,
            )
          }
          continue
        }
        const text = fromByteString(seen?.name ?? '')
        if (clock.monotonic() >= giveUp) throw lockedFailure(sftp.host, text, request.waitMs)
        if (!shown) context.log.info(`waiting for the lock, held by ${text || 'another run'}`)
        shown = true
        await clock.sleep(RETRY_MS, signal)
      }
    } catch (error) {
      await removeTree(sftp, fresh).catch(() => {})
      throw error
    }
  }

  /** The holder's own folder. */
  get folder(): ByteString {
    return `${this.#request.state}/lease/${this.#request.mark}`
  }

  /** Throws where another may have the lease by now. To be called right before anything is changed. */
  assertHeld(): void {
    if (!this.#isLost && this.#context.clock.monotonic() < this.#heldUntil) return
    throw new Failure('this run no longer holds the lock of the site', {
      host: this.#sftp.host,
      seen: `the server was not heard of for ${HELD_MS / 1000} s, or another run has taken over`,
      state:
        'from then on this run has changed nothing; what it had begun is put right by the run that took over, or by the next one.',
      hint: 'run the job again',
    })
  }

  /** Gives the lease back. Whatever lies in its folder goes. */
  async release(): Promise<void> {
    clearInterval(this.#timer)
    if (this.#isLost || this.#context.clock.monotonic() >= this.#heldUntil) return
    this.#isLost = true
    const { state, mark } = this.#request
    const gone = `${state}/lease.gone.${mark}`
    await this.#sftp.rename(`${state}/lease`, gone)
    await removeTree(this.#sftp, gone)
  }

  async #beat(): Promise<void> {
    const sentAt = this.#context.clock.monotonic()
    try {
      await writeFile(this.#sftp, `${this.folder}/beat`, Buffer.from('.'))
      this.#heldUntil = Math.max(this.#heldUntil, sentAt + HELD_MS)
    } catch (error) {
      // The folder has gone: another has taken over. Anything else may pass.
      if (isMissing(error)) this.#isLost = true
    }
  }
}

/** Whether the lease was free: a folder does not replace one that holds something. */
async function movedTo(sftp: Sftp, fresh: ByteString, lease: ByteString): Promise<boolean> {
  try {
    await sftp.rename(fresh, lease)
    return true
  } catch (error) {
    if (error instanceof SftpError && (await ifThere(sftp.lstat(lease))) !== undefined) return false
    // It may have gone in between.
    if (error instanceof SftpError && (await ifThere(sftp.lstat(fresh))) !== undefined) {
      await sftp.rename(fresh, lease)
      return true
    }
    throw error
  }
}

async function readHolder(sftp: Sftp, state: ByteString): Promise<Holder | undefined> {
  const text = await ifThere(readFile(sftp, `${state}/lease/holder`))
  const [mark = '', token = '', name = ''] = text?.toString('latin1').split('\n') ?? []
  return /^[0-9a-f]+$/.test(mark) ? { mark, token, name } : undefined
}

async function mayTake(
  sftp: Sftp,
  { state, own }: LeaseRequest,
  seen: Holder | undefined,
  now: number,
): Promise<boolean> {
  if (seen !== undefined && own !== '' && seen.token === own) return true
  const sign = seen === undefined ? `${state}/lease` : `${state}/lease/${seen.mark}/beat`
  const beat = await ifThere(sftp.lstat(sign))
  return beat !== undefined && now - beat.mtime > EXPIRY_S
}

/** Takes the lease away from the holder that was seen, and from no other; tells whether it did. */
async function putAside(
  sftp: Sftp,
  { state, mark }: LeaseRequest,
  seen: Holder | undefined,
): Promise<boolean> {
  const aside = `${state}/lease.gone.${mark}`
  if ((await ifThere(sftp.rename(`${state}/lease`, aside).then(() => true))) === undefined) return false
  const moved = await ifThere(readFile(sftp, `${aside}/holder`))
  if ((moved?.toString('latin1').split('\n')[0] ?? '') === (seen?.mark ?? '')) {
    await removeTree(sftp, aside)
    return true
  }
  // Somebody else was quicker: what was moved is theirs. Where it does not go back, they notice and stop.
  await sftp.rename(aside, `${state}/lease`).catch(() => removeTree(sftp, aside))
  return false
}
