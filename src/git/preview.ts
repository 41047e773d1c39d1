import type { Context } from '../context.ts'
import type { Connection } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import { runWithPack } from './push.ts'
import { remoteFailure, remoteGit, type Source } from './repository.ts'
import type { Survey } from './survey.ts'

/**
 * Tells which commits and files a deploy would bring, a line each. The objects go to a folder of their own, which is
 * removed: refs, objects and index of the checkout stay as they are.
 */
export async function preview(
  connection: Connection,
  path: string,
  sha: string,
  stored: Survey['stored'],
  source: Source,
  context: Context,
): Promise<string[]> {
  const { workspace } = source
  const fetch = `remote_git --git-dir="$apart" fetch -q --no-tags --no-auto-gc -- "$origin" ${sha}`
  const receive = 'git --git-dir="$apart" index-pack --stdin --fix-thin >/dev/null'
  const script = String.raw`${remoteGit(source)}
CDPATH= cd -- ${quote(path)}
export GIT_OPTIONAL_LOCKS=0
objects=$(cd "$(git rev-parse --git-path objects)" && pwd -P)
shallow=$(git rev-parse --git-path shallow)
origin=$(git ls-remote --get-url origin 2>/dev/null || :)
head=$(git rev-parse -q --verify 'HEAD^{commit}' || :)
apart=$(mktemp -d)
trap 'rm -rf "$apart"' EXIT
git init -q --bare "$apart" >/dev/null
printf '%s\n' "$objects" >"$apart/objects/info/alternates"
[ ! -f "$shallow" ] || cp "$shallow" "$apart/shallow"
if ! git --git-dir="$apart" cat-file -e ${sha}'^{commit}' 2>/dev/null; then
  ${workspace === undefined ? fetch : receive}
fi
git --git-dir="$apart" cat-file -e ${sha}'^{commit}'
[ -n "$head" ] || exit 0
git --git-dir="$apart" log --no-decorate --format='commit %h %an: %s' -n 200 "$head..${sha}" --
git --git-dir="$apart" log --no-decorate --format='no longer %h %an: %s' -n 200 "${sha}..$head" --
git --git-dir="$apart" -c core.quotePath=false diff --name-status "$head" ${sha} -- | head -n 500 | sed 's/^/file /'
git --git-dir="$apart" -c core.quotePath=false diff --raw --abbrev=7 --no-renames --ignore-submodules=none "$head" ${sha} -- |
  sed -n 's/^:\(160000 [0-7]*\|[0-7]* 160000\) \([0-9a-f.]*\) \([0-9a-f.]*\) [A-Z]\t\(.*\)/submodule \4: \2 -> \3/p' |
  sed 's/: 0000000 ->/: nothing ->/; s/-> 0000000$/-> nothing/' | head -n 500`
  if (workspace !== undefined && !stored.hasCommit) {
    return linesOf(await runWithPack(connection, script, await workspace.pack(sha, stored), context))
  }
  const result = await connection.script(script, { signal: context.signal })
  if (result.code !== 0)
    throw remoteFailure(connection.name, 'the commit could not be fetched', result, source)
  return linesOf(result.stdout)
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
