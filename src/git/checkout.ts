import { quote } from '../ssh/quote.ts'
import { GO_TO } from './go-to.ts'
import { CLEAR_BEFORE_CHECKOUT } from './left-locks.ts'
import { PLACE_MODULES } from './submodules.ts'

/**
 * Sets `sha` to the local commits of HEAD on top of the commit. What is local is told by the commit that the deploy
 * before put them on, or by the branch's upstream, so that commits which a forced push has dropped do not come back.
 */
const REBASE = String.raw`
if head=$(git rev-parse -q --verify 'HEAD^{commit}'); then
  base=
  for candidate in refs/evenkeel/base '@{upstream}'; do
    candidate=$(git rev-parse -q --verify "$candidate^{commit}" 2>/dev/null) || continue
    if git merge-base --is-ancestor "$candidate" "$head"; then base=$candidate; break; fi
  done
  [ -n "$base" ] || base=$(git merge-base "$wanted" "$head") || base=
  if [ -z "$base" ]; then
    printf 'evenkeel: HEAD has no history in common with %s\n' "$wanted"
    exit 1
  fi
  count=$(git rev-list --count "$base..$head" "^$wanted")
  if [ "$count" -gt 0 ]; then
    apart=$(git rev-parse --absolute-git-dir)/evenkeel/rebase
    rm -rf "$apart"
    git worktree prune
    GIT_LFS_SKIP_SMUDGE=1 git worktree add -q --detach "$apart" "$head" >/dev/null
    if ! git -C "$apart" -c commit.gpgSign=false -c rebase.autoStash=false rebase -q --onto "$wanted" "$base" 2>&1; then
      git -C "$apart" diff --name-only --diff-filter=U | sed 's/^/evenkeel: conflict in /'
      rm -rf "$apart"
      git worktree prune
      printf 'evenkeel: the local commits do not apply to %s; nothing was changed\n' "$wanted"
      exit 1
    fi
    sha=$(git -C "$apart" rev-parse HEAD)
    # What each of the two stands on, for the deploy after a way back.
    git update-ref "refs/evenkeel/bases/$head" "$base"
    git update-ref "refs/evenkeel/bases/$sha" "$wanted"
    rm -rf "$apart"
    git worktree prune
    printf 'evenkeel: %s local commits were put on top of %s\n' "$count" "$wanted"
  fi
fi
`

/**
 * Sets `head` and `branch` ('' where there is none) and `changed` (whether tracked files are) by a single git: each process
 * counts in the time that a deploy takes.
 */
const STATE = `
state=$(git status --porcelain=v2 --branch --no-ahead-behind --untracked-files=no --ignore-submodules=dirty) ||
  state="# branch.oid $(git rev-parse -q --verify 'HEAD^{commit}')" || state=
n='
'
head= branch= changed=
case $state in '# branch.oid '[0-9a-f]*) head=${'$'}{state#'# branch.oid '} head=${'$'}{head%%"$n"*} ;; esac
case $state in
  *'# branch.head (detached)'*) ;;
  *'# branch.head '*) branch=${'$'}{state#*'# branch.head '} branch=refs/heads/${'$'}{branch%%"$n"*} ;;
esac
case $n$state in *"$n"[12u]' '*) changed=yes ;; esac
`

/**
 * Script that brings the work tree to a commit that is there already, HEAD detached. Changed tracked files, staged
 * or not, go to a stash ref first; untracked and ignored files are never written over: where one is in the way, the
 * script fails with everything as it was. Commits that no ref holds get one. With `rebase`, local commits are put on
 * top of the commit, in a work tree apart; where they conflict, the script fails before anything has changed.
 * Submodules come along, each at its exact commit.
 */
export function checkoutScript(sha: string, stamp: string, how: 'exact' | 'rebase' | 'back'): string {
  return String.raw`
wanted=${sha} sha=${sha} stamp=${quote(stamp)}
export GIT_TERMINAL_PROMPT=0 LC_ALL=C
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=submodule.recurse GIT_CONFIG_VALUE_0=false
export GIT_AUTHOR_NAME=Evenkeel GIT_AUTHOR_EMAIL=evenkeel@localhost
export GIT_COMMITTER_NAME=Evenkeel GIT_COMMITTER_EMAIL=evenkeel@localhost
saved= top=$(pwd -P)
${CLEAR_BEFORE_CHECKOUT}
${GO_TO}
${how === 'rebase' ? REBASE : ''}
# Files that git was told not to look at; where the checkout is sparse, absent ones are meant to be.
git ls-files -v | sed -n 's/^\([a-z]\|S\) //p' | while IFS= read -r file; do
  [ -e "$file" ] || continue
  git update-index --no-assume-unchanged -- "$file"
  git update-index --no-skip-worktree -- "$file"
done
${STATE}
if [ -n "$head" ]; then
  if [ -n "$changed" ]; then
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
  held=
  [ ! -f .git/refs/evenkeel/current ] || read -r held <.git/refs/evenkeel/current
  if [ "$held" != "$head" ] && [ -z "$(git for-each-ref --count=1 --contains "$head")" ]; then
    git update-ref "refs/evenkeel/kept/$stamp" "$head"
    printf 'evenkeel: local commits were kept as refs/evenkeel/kept/%s\n' "$stamp"
  fi
  if [ -f .git ] || [ -d .git/rebase-merge ] || [ -d .git/rebase-apply ]; then git rebase --quit 2>/dev/null || :; fi
fi
as_it_was() {
  if [ "$1" -ne 1 ]; then
    take_back "$head" "$sha"
    [ -z "$branch" ] || git symbolic-ref HEAD "$branch"
  fi
  if [ -n "$saved" ]; then
    git stash apply -q --index "$saved" || git stash apply -q "$saved" || :
  fi
  exit 1
}
go_to "$sha" || as_it_was "$?"
if [ -e .gitmodules ] && [ -d .git ]; then
  ${PLACE_MODULES}
  if ! place_modules '' .git "$sha"; then
    if [ -n "$head" ]; then
      git checkout -q --no-overwrite-ignore --detach "$head" && place_modules '' .git "$head" || :
      [ -z "$branch" ] || git symbolic-ref HEAD "$branch"
    fi
    as_it_was 1
  fi
fi
${how === 'back' ? 'base=$(git rev-parse -q --verify "refs/evenkeel/bases/$sha") || base=' : 'base=$wanted'}
printf 'update %s %s\n' refs/evenkeel/current "$sha" ${'$'}{base:+refs/evenkeel/base "$base"} | git update-ref --stdin &
printf 'evenkeel: checked out %s\n' "$(git log -1 --format='%h %s' "$sha")"
wait "$!"
`
}
