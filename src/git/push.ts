import { Readable } from 'node:stream'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import { openLane, pipeToScript, toByteString } from '../ssh/remote-shell.ts'
import { type AdvertisedRef, candidates, chooseCommit, parseLsRemote, type Ref } from './ref.ts'

/** What a server's repository holds already. */
export interface Known {
  /** Commits and tags with everything below them. */
  readonly haves: readonly string[]
  /** Commits whose parents are not there. */
  readonly shallow: readonly string[]
}

/** The runner's own checkout, from which commits are sent. */
export interface Workspace {
  /** `git ls-remote` of the checkout itself or of its origin; '' where that cannot be asked. */
  lsRemote(of: 'checkout' | 'origin', patterns: readonly string[]): Promise<string>
  /**
   * Starts a thin pack of what a commit needs and the other side lacks. Brings the commit and its history here first
   * if they are missing. `ended` rejects when git failed.
   */
  pack(sha: string, known: Known): Promise<{ readonly stream: Readable; readonly ended: Promise<void> }>
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

/** What the repository at `path` holds; undefined when the commit itself is among it. */
export async function readKnown(
  connection: Connection,
  path: string,
  sha: string,
  { signal }: Context,
): Promise<Known | undefined> {
  const { code, stdout, stderr } = await connection.script(
    String.raw`${COMPLETE}
CDPATH= cd -- ${quote(path)}
printf '\n'
if complete ${sha}; then echo complete; exit 0; fi
git rev-parse -q --verify 'HEAD^{commit}' | sed 's/^/have /' || :
git for-each-ref --count=2000 --format='have %(objectname) %(*objectname)'
sed 's/^/shallow /' "$(git rev-parse --git-path shallow)" 2>/dev/null || :`,
    { signal, keepBytes: 8 * 1024 * 1024 },
  )
  if (code !== 0) {
    throw new Failure('the checkout could not be read', { host: connection.name, seen: stderr.trim() })
  }
  const lines = stdout.split('\n').map((line) => line.split(' '))
  if (lines.some(([word]) => word === 'complete')) return undefined
  const all = (word: string) => {
    const ids = lines.flatMap(([first, ...rest]) => (first === word ? rest : []))
    return [...new Set(ids.filter((id) => /^[0-9a-f]{40,64}$/.test(id)))]
  }
  return { haves: all('have'), shallow: all('shallow') }
}

/**
 * Sends what a repository lacks of a commit over the open connection into a script, which must hand its standard
 * input to `git index-pack --stdin --fix-thin`. Resolves with what the script printed.
 */
export async function sendPack(
  connection: Connection,
  script: string,
  sha: string,
  known: Known,
  workspace: Workspace,
  { log, signal }: Context,
): Promise<string> {
  const { stream, ended } = await workspace.pack(sha, known)
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
    throw new Failure('the commits could not be stored on the server', {
      host: connection.name,
      seen: noise.trim() || `exit code ${code}`,
      state: 'the checkout and what runs are as they were.',
      hint: 'check the free disk space there and that the user may write to the repository',
    })
  } finally {
    input.destroy()
    stream.destroy()
  }
}

/** Brings a commit into the objects of the repository at `path`; no ref, branch or file changes. */
export async function pushObjects(
  connection: Connection,
  path: string,
  sha: string,
  workspace: Workspace,
  context: Context,
): Promise<void> {
  const known = await readKnown(connection, path, sha, context)
  if (known === undefined) return
  const script = `CDPATH= cd -- ${quote(path)}\ngit index-pack --stdin --fix-thin >/dev/null`
  await sendPack(connection, script, sha, known, workspace, context)
}
