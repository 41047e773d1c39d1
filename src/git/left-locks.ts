/**
 * Removes lock files that a killed git has left in the repository of the current directory: otherwise no git works there
 * any more. For use under the deploy's own lock. While any git process is at work there, or one of another user whose
 * directory cannot be seen, they stay, and the next command says who holds them.
 */
export const CLEAR_LOCKS = String.raw`
git_is_at_work() {
  for process in /proc/[0-9]*; do
    read -r command 2>/dev/null <"$process/comm" || continue
    case $command in git | git-*) ;; *) continue ;; esac
    case $(readlink "$process/cwd" || echo unknown)/ in "$(pwd -P)"/* | unknown/) return 0 ;; esac
  done
  return 1
}
for lock in .git/*.lock .git/refs/evenkeel/*.lock .git/refs/evenkeel/*/*.lock .git/modules/*/index.lock .git/modules/*/HEAD.lock; do
  [ -f "$lock" ] && ! git_is_at_work || continue
  rm -f -- "$lock"
  printf 'evenkeel: removed %s, left by a git that was killed\n' "$lock"
done
`
