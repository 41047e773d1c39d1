/**
 * Shell functions that change a work tree, the current directory.
 *
 * `go_to <commit>`: as git's own checkout, but fails, too, where git could not write some file (a full disk, a directory of
 * another user), which git says as `error:` while its status is 0. Status 1: refused, and nothing has been written. What
 * git says is read up to a mark, since a hook may leave a process behind that keeps the pipe open.
 *
 * `take_back <from> <to>`: after a checkout that failed in the middle, the files of `from` ('' where there was nothing)
 * again, so that what is half written is not in the way of the next one. Of the files that are new with `to` only those
 * are removed that hold what it has there, or the beginning of that.
 */
export const GO_TO = String.raw`
go_to() {
  {
    status=0
    git -c advice.detachedHead=false checkout -q --no-overwrite-ignore --detach "$1" 2>&1 || status=$?
    printf '${'\x1e'}%s\n' "$status"
  } | (
    unsure=
    while IFS= read -r line; do
      case $line in
        *'${'\x1e'}0') [ -z "$unsure" ] || git diff-files --quiet --ignore-submodules || exit 128; exit 0 ;;
        *'${'\x1e'}'*) exit "${'$'}{line##*${'\x1e'}}" ;;
        error:*) unsure=1 ;;
      esac
      printf '%s\n' "$line" || :
    done
    exit 128
  )
}
take_back() {
  before=${'$'}{1:-$(git hash-object -t tree /dev/null)}
  git diff --name-only -z --no-renames --diff-filter=A "$before" "$2" | xargs -0 sh -c '
    commit=$1
    shift
    for file; do
      if [ -L "./$file" ]; then [ "$(readlink "./$file")" = "$(git cat-file blob "$commit:$file")" ] || continue
      elif [ -f "./$file" ]; then
        git cat-file --filters "$commit:$file" | head -c "$(($(wc -c <"./$file")))" | cmp -s - "./$file" || continue
      else continue; fi
      rm -f "./$file"
    done' sh "$2" || :
  [ -z "$1" ] || git reset -q --hard "$1" || :
}
`
