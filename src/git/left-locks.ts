/**
 * A shell function that removes files which a git that was killed, or found the disk full, has left in the repository of
 * the current directory: with a lock file there no git works any more, and half a pack keeps the disk full. For use under
 * the deploy's own lock. While any git process is at work there, or one of another user whose directory cannot be seen,
 * they stay, and the next command says who holds them.
 */
const CLEAR = String.raw`
git_is_at_work() {
  for process in /proc/[0-9]*; do
    read -r command 2>/dev/null <"$process/comm" || continue
    case $command in git | git-*) ;; *) continue ;; esac
    # One that has ended in the meantime has no directory any more.
    case $(readlink "$process/cwd" || sed -n 's/^State:.[^XZ].*/unknown/p' "$process/status" 2>/dev/null)/ in "$(pwd -P)"/* | unknown/) return 0 ;; esac
  done
  return 1
}
clear_left() {
  for left in "$@"; do
    [ -f "$left" ] && ! git_is_at_work || continue
    rm -f -- "$left"
    printf 'evenkeel: removed %s, left by a git that did not come to its end\n' "$left"
  done
}
`

const REFS = '.git/packed-refs.lock .git/shallow.lock .git/refs/evenkeel/*.lock .git/refs/evenkeel/*/*.lock'

/** Before objects are brought: what is in their way; and when that fails, the half of them that has come. */
export const CLEAR_AROUND_FETCH = `${CLEAR}clear_left ${REFS} .git/objects/pack/tmp_*
trap '[ "$?" -eq 0 ] || clear_left .git/objects/pack/tmp_* .git/objects/??/tmp_obj_* .git/modules/*/objects/pack/tmp_*' EXIT
`

/** Before a checkout: what is in its way. */
export const CLEAR_BEFORE_CHECKOUT = `${CLEAR}clear_left .git/index.lock .git/HEAD.lock .git/config.lock ${REFS} .git/modules/*/index.lock .git/modules/*/HEAD.lock
`
