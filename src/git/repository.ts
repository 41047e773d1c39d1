import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection, ExecResult } from '../ssh/connection.ts'
import { quote, quoteAll } from '../ssh/quote.ts'
import { COMPLETE, pushObjects, resolveOnRunner, type Workspace } from './push.ts'
import { candidates, chooseCommit, parseLsRemote, type Ref } from './ref.ts'

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

/** Resolves a branch or tag to one full commit, asking where it comes from; changes nothing. */
export async function resolveRef(
  connection: Connection,
  ref: Ref,
  source: Source,
  where: { readonly path: string; readonly remote: string },
  context: Context,
): Promise<string> {
  if (ref.kind === 'sha') return ref.sha
  if (source.workspace !== undefined) return resolveOnRunner(ref, source.workspace)
  const { path, remote } = where
  const patterns = candidates(ref.name).flatMap((name) => [name, `${name}^{}`])
  const script = `${remoteGit(source)}
${path === '' ? '' : `CDPATH= cd -- ${quote(path)}`}
printf '\\n'
remote_git ls-remote -- ${quoteAll([remote, ...patterns])}`
  const result = await connection.script(script, { signal: context.signal })
  if (result.code !== 0) throw remoteFailure(connection, 'the repository could not be read', result, source)
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

/** Brings a commit into the repository's objects, pinned by a ref of ours; branches and work tree stay as they are. */
export async function fetchCommit(
  connection: Connection,
  path: string,
  sha: string,
  source: Source,
  context: Context,
): Promise<void> {
  const { workspace } = source
  if (workspace !== undefined) await pushObjects(connection, path, sha, workspace, context)
  const result = await connection.script(
    `${remoteGit(source)}
${COMPLETE}
CDPATH= cd -- ${quote(path)}
if ! complete ${sha}; then
  ${workspace === undefined ? '' : 'exit 64'}
  if ! remote_git fetch -q --no-tags --no-auto-gc origin +${sha}:refs/evenkeel/target 2>&1; then
    # A server that hands out no single commits: everything it has.
    remote_git fetch -q --no-tags --no-auto-gc origin '+refs/heads/*:refs/evenkeel/fetched/heads/*' '+refs/tags/*:refs/evenkeel/fetched/tags/*'
  fi
fi
complete ${sha} || exit 64
git update-ref refs/evenkeel/target ${sha}
if git ls-tree -r ${sha} | grep -q '^160000'; then exit 65; fi
if git grep -q -e 'filter=lfs' ${sha} -- .gitattributes ':(glob)**/.gitattributes' && ! git lfs version >/dev/null 2>&1; then exit 66; fi`,
    { signal: context.signal },
  )
  if (result.code === 0) return
  const host = connection.name
  const state = 'the checkout and what runs are as they were.'
  if (result.code === 64) {
    throw new Failure(`the commit ${sha} is not in the repository`, {
      host,
      seen: result.stdout.trim(),
      state,
      hint: "push it first; after a forced push give the new commit's id",
    })
  }
  if (result.code === 65) {
    throw new Failure(`the commit ${sha} has submodules, which this version of the action cannot bring`, {
      host,
      state,
      hint: 'bring the parts into the repository itself (git subtree), or as packages in `build`',
    })
  }
  if (result.code === 66) {
    throw new Failure(`the commit ${sha} has files in Git LFS, and git-lfs is not installed on the server`, {
      host,
      state,
      hint: 'install git-lfs there (apt-get install git-lfs) and run the job again',
    })
  }
  throw remoteFailure(connection, 'the commit could not be fetched', result, source)
}

export function remoteFailure(
  connection: Connection,
  what: string,
  result: ExecResult,
  { token, tokenUrl }: Source,
): Failure {
  const seen = `${result.stdout}\n${result.stderr}`.trim()
  const login = /could not read Username|Authentication failed|terminal prompts disabled|403|401/.test(seen)
  return new Failure(what, {
    host: connection.name,
    seen,
    state: 'the checkout and what runs are as they were.',
    hint: login
      ? token === ''
        ? "the repository is private: set the input 'token' (secrets.GITHUB_TOKEN with `contents: read`)"
        : `the token was refused, or the origin is not on ${tokenUrl}, the only host that gets it`
      : 'try it on the server by hand: git ls-remote',
  })
}
