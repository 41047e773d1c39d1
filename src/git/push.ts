import { Readable } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection } from '../ssh/connection.ts'
import { READ_SCRIPT } from '../ssh/lock.ts'
import { openLane, pipeToScript, toByteString } from '../ssh/remote-shell.ts'
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

/**
 * Sends a pack over the open connection into a script, which must hand its standard
 * input to `git index-pack --stdin --fix-thin`. Resolves with what the script printed.
 */
export async function sendPack(
  connection: Connection,
  script: string,
  { stream, ended }: Pack,
  { log, signal }: Context,
): Promise<string> {
  let bytes = 0
  const counted = async function* () {
    for await (const chunk of stream) {
      bytes += (chunk as Buffer).length
      yield chunk as Buffer
    }
  }
  const input = Readable.from(counted(), { objectMode: false })
  try {
    const lane = await openLane(connection)
    const { code, noise } = await pipeToScript(
      connection.name,
      lane,
      toByteString(`set -e\n${script}`),
      input,
      signal,
    )
    await ended
    log.info(`commits sent: ${bytes} bytes`)
    if (code === 0) return Buffer.from(noise, 'latin1').toString('utf8')
    throw notStored(connection.name, noise.trim() || `exit code ${code}`)
  } finally {
    input.destroy()
    stream.destroy()
  }
}

export function notStored(host: string, seen: string): Failure {
  return new Failure('the commits could not be stored on the server', {
    host,
    seen,
    state: 'the checkout and what runs are as they were.',
    hint: 'check the free disk space there and that the user may write to the repository',
  })
}

/**
 * Starts a script on the server whose standard input is a pack: it must begin with `git index-pack --stdin --fix-thin`.
 * `sent` rejects when git could not make the pack on the runner; the script then fails, too.
 */
export async function startWithPack(
  connection: Connection,
  script: string,
  pack: Pack,
  { log }: Context,
): Promise<{ readonly output: ClientChannel; readonly sent: Promise<void> }> {
  const { channel } = await connection.start(READ_SCRIPT)
  channel.on('error', () => {})
  channel.stderr.resume()
  const text = Buffer.from(script)
  channel.write(Buffer.concat([Buffer.from(`${text.length}\n`), text]))
  const sent = feed(pack, channel).then((bytes) => {
    if (bytes !== undefined) log.info(`commits sent: ${bytes} bytes`)
  })
  sent.catch(() => {})
  return { output: channel, sent }
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
