import { quote } from '../ssh/quote.ts'

/**
 * Script that brings the work tree to a commit that is there already, HEAD detached. Changed tracked files, staged
 * or not, go to a stash ref first; untracked and ignored files are never written over: where one is in the way, the
 * script fails with everything as it was. Commits that no ref holds get one.
 */
export function checkoutScript(sha: string, stamp: string): string {
  return String.raw`
sha=${sha} stamp=${quote(stamp)}
export GIT_TERMINAL_PROMPT=0 LC_ALL=C
export GIT_AUTHOR_NAME=Evenkeel GIT_AUTHOR_EMAIL=evenkeel@localhost
export GIT_COMMITTER_NAME=Evenkeel GIT_COMMITTER_EMAIL=evenkeel@localhost
saved=
if head=$(git rev-parse -q --verify 'HEAD^{commit}'); then
  git update-index -q --refresh >/dev/null || :
  if ! git diff-index --quiet "$head" -- || ! git diff-index --quiet --cached "$head" -- || ! git diff-files --quiet; then
    saved=$(git stash create "before $sha") || saved=
    if [ -z "$saved" ]; then
      # In the middle of a merge or rebase there is no stash: the work tree as a commit instead.
      index=$(git rev-parse --absolute-git-dir)/evenkeel/index
      cp "$(git rev-parse --git-path index)" "$index"
      GIT_INDEX_FILE=$index git add -u
      tree=$(GIT_INDEX_FILE=$index git write-tree)
      rm -f "$index"
      saved=$(git commit-tree "$tree" -p "$head" -p "$head" -m "before $sha")
    fi
    git update-ref "refs/evenkeel/stash/$stamp" "$saved"
    printf 'evenkeel: changed tracked files were saved: git stash apply refs/evenkeel/stash/%s\n' "$stamp"
    git -c core.quotePath=false diff --name-status "$head" "$saved" --
    git reset -q --hard "$head"
  fi
  if [ -z "$(git for-each-ref --count=1 --contains "$head")" ]; then
    git update-ref "refs/evenkeel/kept/$stamp" "$head"
    printf 'evenkeel: local commits were kept as refs/evenkeel/kept/%s\n' "$stamp"
  fi
  git rebase --quit 2>/dev/null || :
fi
if ! git -c advice.detachedHead=false checkout -q --no-overwrite-ignore --detach "$sha"; then
  if [ -n "$saved" ]; then
    git stash apply -q --index "$saved" || git stash apply -q "$saved" || :
  fi
  exit 1
fi
git update-ref refs/evenkeel/current "$sha"
printf 'evenkeel: checked out %s\n' "$(git log -1 --format='%h %s' "$sha")"
`
}
