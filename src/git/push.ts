import type { Readable } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { type Context, unlessAborted } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection, RemoteProcess } from '../ssh/connection.ts'
import { READ_SCRIPT } from '../ssh/lock.ts'
import { type AdvertisedRef, candidates, chooseCommit, parseLsRemote, type Ref } from './ref.ts'

/** What a server's repository holds already. */
export interface Known {
  /** Commits and tags with everything below them. */
  readonly haves: readonly string[]
  /** Commits whose parents are not there. */
  readonly shallow: readonly string[]
}

/** A pack that is being made. */
export interface Pack {
  readonly stream: Readable
  /** Rejects when git has failed. */
  readonly ended: Promise<void>
}

/** The runner's own checkout, from which commits are sent. */
export interface Workspace {
  /** `git ls-remote` of the checkout itself or of its origin; '' where that cannot be asked. */
  lsRemote(of: 'checkout' | 'origin', patterns: readonly string[]): Promise<string>
  /**
   * Starts a thin pack of what a commit needs and the other side lacks. Brings the commit and its history here first
   * if they are missing.
   */
  pack(sha: string, known: Known): Promise<Pack>
}

/** Resolves a branch or tag to one full commit by the checkout on the runner, or else by its origin. */
export async function resolveOnRunner(ref: Ref, workspace: Workspace): Promise<string> {
  if (ref.kind === 'sha') return ref.sha
  const names = candidates(ref.name)
  const tracked = `refs/remotes/origin/${ref.name}`
  const own = parseLsRemote(
    await workspace.lsRemote('checkout', [...names.flatMap((name) => [name, `${name}^{}`]), tracked]),
  )
  const branch = `refs/heads/${ref.name}`
  const remembered = own.some(({ name }) => name === branch)
    ? []
    : own.flatMap(({ sha, name }): AdvertisedRef[] => (name === tracked ? [{ sha, name: branch }] : []))
  let chosen = chooseCommit(ref.name, [...own, ...remembered])
  if (typeof chosen === 'string' && own.length === 0) {
    const patterns = names.flatMap((name) => [name, `${name}^{}`])
    chosen = chooseCommit(ref.name, parseLsRemote(await workspace.lsRemote('origin', patterns)))
  }
  if (typeof chosen === 'string') {
    throw new Failure(chosen, {
      seen: 'neither the checkout on the runner nor its origin has it',
      state: 'nothing was changed on any host.',
      hint: "check the input 'ref', and that actions/checkout runs before this step",
    })
  }
  return chosen.sha
}

/** A shell function: whether a commit is in a repository with everything it stands on. */
export const COMPLETE = `complete() {
  git cat-file -e "$1^{commit}" 2>/dev/null && git rev-list --objects --quiet "$1" --not --all 2>/dev/null
}`

export function notStored(host: string, seen: string): Failure {
  return new Failure('the commits could not be stored on the server', {
    host,
    seen,
    state: 'the checkout and what runs are as they were.',
    hint: 'check the free disk space there and that the user may write to the repository',
  })
}

/**
 * Starts a script on the server whose standard input is a pack, which it must hand to `git index-pack --stdin --fix-thin`.
 * `sent` rejects when git could not make the pack on the runner; the script then fails, too.
 */
export async function startWithPack(
  connection: Connection,
  script: string,
  pack: Pack,
  { log }: Context,
): Promise<RemoteProcess & { readonly sent: Promise<void> }> {
  const { channel, ended } = await connection.start(READ_SCRIPT)
  channel.on('error', () => {})
  channel.stderr.resume()
  const text = Buffer.from(script)
  channel.write(Buffer.concat([Buffer.from(`${text.length}\n`), text]))
  const sent = feed(pack, channel).then((bytes) => {
    if (bytes !== undefined) log.info(`commits sent: ${bytes} bytes`)
  })
  sent.catch(() => {})
  return { channel, ended, sent }
}

/** The commits of a deploy on their way to one server. */
export class Shipment {
  readonly #make: () => Promise<Pack>
  #ahead: Promise<Pack> | undefined
  #sent: Promise<void> | undefined

  constructor(make: () => Promise<Pack>) {
    this.#make = make
  }

  /** Begins to make the pack. */
  prepare(): void {
    this.#ahead = this.#make()
    this.#ahead.catch(() => {})
  }

  /** Starts a script as `startWithPack` does, each time with a pack of its own; resolves with the script's output. */
  async start(connection: Connection, script: string, context: Context): Promise<ClientChannel> {
    const ahead = this.#ahead
    this.#ahead = undefined
    const { channel, sent } = await startWithPack(connection, script, await (ahead ?? this.#make()), context)
    this.#sent = sent
    return channel
  }

  /** Of the last start; rejects when git could not make its pack. */
  get sent(): Promise<void> | undefined {
    return this.#sent
  }

  /** Lets go of a pack that was not wanted after all. */
  drop(): void {
    this.#ahead?.then(
      ({ stream }) => stream.destroy(),
      () => {},
    )
  }
}

/** As `startWithPack`, and resolves with what the script printed. */
export async function runWithPack(
  connection: Connection,
  script: string,
  pack: Pack,
  context: Context,
): Promise<string> {
  const text = `exec 2>&1\nset -e\n${script}`
  const { channel, ended, sent } = await startWithPack(connection, text, pack, context)
  let printed = ''
  channel.setEncoding('utf8').on('data', (part: string) => {
    printed += part
  })
  try {
    const [{ code }] = await unlessAborted(Promise.all([ended, sent]), context.signal)
    if (code === 0) return printed
    throw notStored(connection.name, printed.trim() || `exit code ${code}`)
  } finally {
    channel.close()
    pack.stream.destroy()
  }
}

/**
 * Resolves with the number of bytes; with undefined where the channel ended early, which is no error here: the script's own
 * words tell more.
 */
async function feed({ stream, ended }: Pack, channel: ClientChannel): Promise<number | undefined> {
  let bytes = 0
  // A channel whose connection has broken stays writable, and never drains.
  let isOpen = true
  channel.once('close', () => {
    isOpen = false
  })
  try {
    for await (const chunk of stream) {
      if (!isOpen || !channel.writable) return undefined
      bytes += (chunk as Buffer).length
      if (!channel.write(chunk)) await drained(channel)
    }
    await ended
    return bytes
  } finally {
    channel.end()
  }
}

function drained(channel: ClientChannel): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      channel.removeListener('drain', done)
      channel.removeListener('close', done)
      resolve()
    }
    channel.once('drain', done)
    channel.once('close', done)
  })
}
