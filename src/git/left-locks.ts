/**
 * Removes lock files that a killed git has left in the repository of the current directory: otherwise no git works there
 * any more. For use under the deploy's own lock. While any git process is at work there, or one of another user whose
 * directory cannot be seen, they stay, and the next command says who holds them.
 */
const clearLocks = (files: string) => String.raw`
git_is_at_work() {
  for process in /proc/[0-9]*; do
    read -r command 2>/dev/null <"$process/comm" || continue
    case $command in git | git-*) ;; *) continue ;; esac
    case $(readlink "$process/cwd" || echo unknown)/ in "$(pwd -P)"/* | unknown/) return 0 ;; esac
  done
  return 1
}
for lock in ${files}; do
  [ -f "$lock" ] && ! git_is_at_work || continue
  rm -f -- "$lock"
  printf 'evenkeel: removed %s, left by a git that was killed\n' "$lock"
done
`

const REFS = '.git/packed-refs.lock .git/shallow.lock .git/refs/evenkeel/*.lock .git/refs/evenkeel/*/*.lock'

/** Those that are in the way of a fetch. */
export const CLEAR_FETCH_LOCKS = clearLocks(REFS)

/** Those that are in the way of a checkout. */
export const CLEAR_CHECKOUT_LOCKS = clearLocks(
  `.git/index.lock .git/HEAD.lock .git/config.lock ${REFS} .git/modules/*/index.lock .git/modules/*/HEAD.lock`,
)
