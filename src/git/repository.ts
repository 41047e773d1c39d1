import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection, ExecResult } from '../ssh/connection.ts'
import { quote, quoteAll } from '../ssh/quote.ts'
import { CLEAR_AROUND_FETCH } from './left-locks.ts'
import { COMPLETE, notStored, type Workspace } from './push.ts'
import { candidates, chooseCommit, parseLsRemote, type Ref } from './ref.ts'
import { FETCH_MODULES } from './submodules.ts'

/** Where commits come from. */
export interface Source {
  /** Address to clone from where there is no checkout yet. */
  readonly repository: string | undefined
  readonly token: string
  /** The only place that may see the token, for example https://github.com. */
  readonly tokenUrl: string
  /** The runner's checkout where commits are pushed; undefined where the server fetches them. */
  readonly workspace: Workspace | undefined
}

/**
 * A shell function `remote_git` that runs git against the remote. The token is in the environment of that one process;
 * git asks the helper for it only when a server below `tokenUrl` demands a login. The empty helper first keeps the
 * server's own helpers from storing it.
 */
export function remoteGit({ token, tokenUrl }: Source): string {
  const head = 'export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true LC_ALL=C\n'
  if (token === '') return `${head}remote_git() { git "$@"; }`
  const helper =
    '!f() { test "$1" = get && printf "username=x-access-token\\npassword=%s\\n" "$EVENKEEL_GIT_TOKEN"; }; f'
  const options = ['-c', 'credential.helper=', '-c', `credential.${tokenUrl}.helper=${helper}`]
  return `${head}remote_git() { EVENKEEL_GIT_TOKEN=${quote(token)} git ${quoteAll(options)} "$@"; }`
}

/**
 * Resolves a branch or tag to one full commit, asking where it comes from: the origin of the checkout, or else the
 * repository that would be cloned. Changes nothing.
 */
export async function resolveRef(
  connection: Connection,
  ref: Ref,
  path: string,
  source: Source,
  context: Context,
): Promise<string> {
  if (ref.kind === 'sha') return ref.sha
  const patterns = candidates(ref.name).flatMap((name) => [name, `${name}^{}`])
  const script = `${remoteGit(source)}
remote=${quote(source.repository ?? '')}
if [ -e ${quote(`${path}/.git`)} ]; then
  CDPATH= cd -- ${quote(path)}
  [ -z "$(git config --get remote.origin.url)" ] || remote=origin
fi
printf '\\n'
remote_git ls-remote -- "$remote" ${quoteAll(patterns)}`
  const { signal } = context
  const result =
    source.token === ''
      ? await connection.openScript(script, { signal })
      : await connection.script(script, { signal })
  if (result.code !== 0)
    throw remoteFailure(connection.name, 'the repository could not be read', result, source)
  const chosen = chooseCommit(ref.name, parseLsRemote(result.stdout))
  if (typeof chosen === 'string') {
    throw new Failure(chosen, {
      host: connection.name,
      state: 'nothing was changed there.',
      hint: "check the input 'ref'; the commit must have been pushed",
    })
  }
  return chosen.sha
}

/** Makes an empty repository where there is none, with its origin; returns its absolute path and state folder. */
export async function prepareRepository(
  connection: Connection,
  path: string,
  repository: string | undefined,
): Promise<{ path: string; folder: string }> {
  const origin =
    repository === undefined
      ? ''
      : `git config --get remote.origin.url >/dev/null || {
  git config remote.origin.url ${quote(repository)}
  git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
}`
  const { code, stdout, stderr } = await connection.script(String.raw`
mkdir -p -- ${quote(path)}
CDPATH= cd -- ${quote(path)}
[ -e .git ] || git init -q >/dev/null
${origin}
folder=$(git rev-parse --absolute-git-dir)/evenkeel
(umask 077; mkdir -p "$folder")
printf '\npath %s\nfolder %s\n' "$(pwd -P)" "$folder"`)
  const absolute = /^path (.+)$/m.exec(stdout)?.[1]
  const folder = /^folder (.+)$/m.exec(stdout)?.[1]
  if (code !== 0 || !absolute || !folder) {
    throw new Failure(`the checkout '${path}' could not be prepared`, {
      host: connection.name,
      seen: stderr.trim(),
      hint: 'the user must be able to write there',
    })
  }
  return { path: absolute, folder }
}

const ABSENT = 64
const BAD_SUBMODULE = 65
const NO_LFS = 66
const NOT_STORED = 67

const FETCH = `${COMPLETE}
fetch_from() {
  set -- "$1" "$2" -q --no-tags --no-auto-gc --no-write-fetch-head --no-recurse-submodules
  from=$1 wanted=$2
  shift 2
  remote_git fetch "$@" -- "$from" "+$wanted:refs/evenkeel/target" 2>&1 && return
  # A server that hands out no single commits: everything it has.
  remote_git fetch "$@" -- "$from" '+refs/heads/*:refs/evenkeel/fetched/heads/*' '+refs/tags/*:refs/evenkeel/fetched/tags/*' 2>&1 || return 1
  complete "$wanted" || return ${ABSENT}
  git update-ref refs/evenkeel/target "$wanted"
}
lacks_lfs() {
  git grep -q -e 'filter=lfs' "$1" -- .gitattributes ':(glob)**/.gitattributes' && ! git lfs version >/dev/null 2>&1
}
`

const STORE = `git index-pack --stdin --fix-thin >/dev/null || exit ${NOT_STORED}
exec </dev/null`

/**
 * Script that brings a commit and those of its submodules into the repository's objects, pinned by refs of ours; branches
 * and work tree stay as they are. Where the commit is `pushed`, it comes as a pack over standard input. Its failure is
 * for `fetchFailure`.
 */
export function fetchScript(path: string, sha: string, source: Source, pushed: boolean): string {
  return `${remoteGit(source)}
${FETCH}
CDPATH= cd -- ${quote(path)}
${CLEAR_AROUND_FETCH}
${pushed ? STORE : ''}
if complete ${sha}; then git update-ref refs/evenkeel/target ${sha}
else ${source.workspace === undefined ? `fetch_from origin ${sha} || exit` : `exit ${ABSENT}`}; fi
parts=$(git ls-tree -r ${sha} | awk '/^160000/ { m = "modules" } /[^a-zA-Z0-9.]\\.gitattributes$/ { a = "attributes" } END { print m, a }')
case $parts in *attributes) ! lacks_lfs ${sha} || exit ${NO_LFS} ;; esac
case $parts in
  modules*)
    ${FETCH_MODULES}
    if [ ! -d .git ]; then echo 'evenkeel: submodules in a work tree of another checkout'; exit ${BAD_SUBMODULE}; fi
    fetch_modules "$(git rev-parse --absolute-git-dir)" ${sha} "$(git config --get remote.origin.url || :)" ;;
esac`
}

/** What the failure of `fetchScript` means. */
export function fetchFailure(
  host: string,
  sha: string,
  source: Source,
  code: number,
  output: string,
): Failure {
  const state = 'the checkout and what runs are as they were.'
  if (code === ABSENT) {
    return new Failure(`the commit ${sha} is not in the repository`, {
      host,
      seen: output.trim(),
      state,
      hint: "push it first; after a forced push give the new commit's id",
    })
  }
  if (code === BAD_SUBMODULE) {
    return new Failure(`the submodules of the commit ${sha} cannot be brought`, {
      host,
      seen: output.trim(),
      state,
      hint:
        source.workspace === undefined
          ? 'check .gitmodules, and that the submodule has the commit; a private one needs `token` or a key on the server'
          : 'commits of submodules are not pushed: the server fetches them itself and must be able to',
    })
  }
  if (code === NOT_STORED) return notStored(host, output.trim())
  if (code === NO_LFS) {
    return new Failure(`the commit ${sha} has files in Git LFS, and git-lfs is not installed on the server`, {
      host,
      state,
      hint: 'install git-lfs there (apt-get install git-lfs) and run the job again',
    })
  }
  return remoteFailure(host, 'the commit could not be fetched', { stdout: output, stderr: '' }, source)
}

export function remoteFailure(
  host: string,
  what: string,
  result: Pick<ExecResult, 'stdout' | 'stderr'>,
  { token, tokenUrl }: Source,
): Failure {
  const seen = `${result.stdout}\n${result.stderr}`.trim()
  const isFull = /No space left|Disk quota exceeded|Out of diskspace/.test(seen)
  const login = /could not read Username|Authentication failed|terminal prompts disabled|403|401/.test(seen)
  return new Failure(what, {
    host,
    seen,
    state: 'the checkout and what runs are as they were.',
    hint: isFull
      ? 'free some space there and run the job again'
      : login
        ? token === ''
          ? "the repository is private: set the input 'token' (secrets.GITHUB_TOKEN with `contents: read`)"
          : `the token was refused, or the origin is not on ${tokenUrl}, the only host that gets it`
        : 'try it on the server by hand: git ls-remote',
  })
}
