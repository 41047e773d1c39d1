// What runs on the server: POSIX shell for dash, bash and busybox. Values come in as variables, each through `quote`.
//
// <root>/current                  -> releases/<id>, swapped by one rename
// <root>/releases/<id>            complete and verified releases
// <root>/releases/.evenkeel/      ours, closed to others, on the same file system as the releases:
//   lock, holder, beat            who works here; the kernel frees the lock with its process
//   staging/<id>+<mark>/tree      a release that is not complete yet
//   meta/<id>/                    content (its identity), manifest.gz, before (what it replaced), good or failed
//   pending                       an activation that is not confirmed yet: its release, and where to go back to

/** Functions and names for all blocks below. Needs `root`, `hold_text`, `token` and `own` as variables. */
export const LIBRARY = String.raw`
umask 022
state=$root/releases/.evenkeel
hash_line='s/^\\\{0,1\}\([0-9a-f]\{32\}\)[0-9a-f]\{32\} .*$/\1/p'
hasher=sha256sum
command -v sha256sum >/dev/null 2>&1 || hasher='shasum -a 256'

fail() { say "fail $*"; exit 1; }

# When the client has gone: what was put away is removed after the answer, and after the lock was given back.
at_exit() { rm -rf "$state/trash/$mark"; }
trap at_exit EXIT
link_now() { readlink "$root/current" 2>/dev/null || :; }
id_of() { case $1 in releases/*/*) ;; releases/?*) printf '%s\n' "${'$'}{1#releases/}" ;; esac; }
first_line() { sed -n 1p "$1" 2>/dev/null || :; }

prepare() (
  mkdir -p -- "$root/releases" && mkdir -p -m 700 -- "$state" && mkdir -p -- "$state/meta" "$state/staging"
)

try_lock() {
  if command -v flock >/dev/null 2>&1; then
    (: >>"$state/lock") && exec 9>>"$state/lock" && flock -n 9
    return
  fi
  ln -s "$$" "$state/lock.pid" 2>/dev/null && trap 'rm -f "$state/lock.pid"; at_exit' EXIT && return
  holder_pid=$(readlink "$state/lock.pid") || return
  if kill -0 "$holder_pid" 2>/dev/null || [ -d "/proc/$holder_pid" ]; then return 1; fi
  mv -f "$state/lock.pid" "$state/lock.$mark" && rm -f "$state/lock.$mark"
  ln -s "$$" "$state/lock.pid" 2>/dev/null && trap 'rm -f "$state/lock.pid"; at_exit' EXIT
}

# A lock may be taken from a run that is ours, or from one whose signs of life have stopped.
may_break() {
  [ -n "$own" ] && [ "$(sed -n 3p "$state/holder" 2>/dev/null)" = "$own" ] && return
  [ -n "$(find "$state/beat" -mmin +2 2>/dev/null)" ]
}

take_lock() {
  [ -z "$locked" ] || return 0
  tries=0
  until try_lock; do
    if [ "$tries" -ge 5 ] || ! may_break; then
      say "busy $(sed -n 2p "$state/holder" 2>/dev/null)"
      return 0
    fi
    holder_pid=$(first_line "$state/holder")
    case $holder_pid in
      '' | *[!0-9]* | 0 | 1) ;;
      *) kill -s KILL -- "-$holder_pid" 2>/dev/null || kill -s KILL "$holder_pid" 2>/dev/null ;;
    esac
    tries=$((tries + 1))
    sleep 1
  done
  rm -f "$state/beat"
  printf '%s\n' "$$" "$hold_text" "$token" >"$state/holder"
  locked=yes
}

releases() {
  (cd "$state/meta" 2>/dev/null && ls -1t -- */content 2>/dev/null) | while IFS=/ read -r id _; do
    [ -d "$root/releases/$id" ] && printf '%s\n' "$id"
  done
}

describe() {
  if [ -e "$root/current" ] && ! [ -L "$root/current" ]; then
    fail "'current' in $root is not a symbolic link"
  fi
  say "current $(link_now)"
  if [ -f "$state/pending" ]; then say "pending $(first_line "$state/pending") $(sed -n 2p "$state/pending")"; fi
  releases | while read -r id; do
    mark_of=new
    if [ -f "$state/meta/$id/failed" ]; then mark_of=failed; fi
    if [ -f "$state/meta/$id/good" ]; then mark_of=good; fi
    say "release $id $(first_line "$state/meta/$id/content") $mark_of $(first_line "$state/meta/$id/before")"
  done
  near=$root
  while ! [ -d "$near" ]; do near=$(dirname "$near"); done
  say "free $(df -Pk "$near" | awk 'NR == 2 {print $4}')"
  for tool in zstd gzip; do
    if command -v $tool >/dev/null 2>&1; then say "tool $tool"; fi
  done
}

# What lies in a tree, by content, written into a folder of lists.
inventory() (
  lists=$2
  cd "$1" &&
    find . -type d -print0 >"$lists/folders" &&
    find . -type f -print0 >"$lists/names" && : >"$lists/hashes" && : >"$lists/modes" &&
    if [ -s "$lists/names" ]; then
      xargs -0 $hasher -- <"$lists/names" | sed -n "$hash_line" >"$lists/hashes" &&
        xargs -0 stat -c '%a %s' -- <"$lists/names" >"$lists/modes"
    fi
)

send_inventory() {
  for list in folders names hashes modes; do send "$list" "$1/$list"; done
}

# What an inventory does not tell of.
drop_specials() { find "$1" ! -type d ! -type f -exec rm -f -- {} +; }

fill() {
  mkdir "$stage/tree"
  [ -n "$1" ] || return 0
  if cp -al "$1/." "$stage/tree/" 2>"$stage/problem"; then return 0; fi
  say "copied $(tail -n 1 "$stage/problem")"
  rm -rf "$stage/tree"
  mkdir "$stage/tree"
  if cp -a "$1/." "$stage/tree/"; then return 0; fi
  rm -rf "$stage"
  fail 'the release before could not be copied'
}

send_base() {
  base=
  if [ -n "$old" ] && drop_specials "$old/tree" && inventory "$old/tree" "$old"; then
    send_inventory "$old"
    base=$old/tree
    say 'base staging'
    return 0
  fi
  base_id=$(id_of "$(link_now)")
  [ -n "$base_id" ] || base_id=$(releases | sed -n 1p)
  if [ -n "$base_id" ] && [ -f "$state/meta/$base_id/manifest.gz" ] && [ -d "$root/releases/$base_id" ]; then
    base=$root/releases/$base_id
    if [ -n "$full" ]; then
      lists=$stage
      [ -n "$lists" ] || lists=$(mktemp -d)
      inventory "$base" "$lists" && send_inventory "$lists"
      [ -n "$stage" ] || rm -rf "$lists"
      say "base hashed $base_id"
    else
      send manifest "$state/meta/$base_id/manifest.gz"
      say "base release $base_id"
    fi
  else
    say 'base none'
  fi
}

claim() {
  if [ -d "$root/releases/$release" ] && [ -f "$state/meta/$release/content" ]; then return 0; fi
  if [ -e "$root/releases/$release" ]; then fail "releases/$release is there, but not from an upload of this action"; fi
  old=
  stage=
  for folder in "$state/staging/$release+"*; do
    if [ -d "$folder/tree" ]; then old=$folder; fi
  done
  if [ -n "$dry" ]; then
    old=
    send_base
    return 0
  fi
  stage=$state/staging/$release+$mark
  mkdir "$stage"
  send_base
  fill "$base"
  if [ -n "$full" ]; then drop_specials "$stage/tree"; fi
  for folder in "$state/staging/$release+"*; do
    if [ "$folder" != "$stage" ]; then rm -rf "$folder"; fi
  done
}

verify() {
  stage=$state/staging/$release+$mark
  cd "$stage/tree"
  if [ -s ../remove ]; then xargs -0 rm -f -- <../remove; fi
  if [ -s ../rmdirs ]; then xargs -0 rmdir -- <../rmdirs; fi
  digest=-
  if [ -s ../sent ]; then
    digest=$(xargs -0 $hasher -- <../sent | sed -n "$hash_line" | $hasher | cut -c 1-64)
  fi
  [ "$digest" = "$want_digest" ] || fail 'the content that arrived is not the content that was sent'
  totals='0 0'
  if [ "$want_totals" != "$totals" ]; then
    totals=$(find . -type f -print0 | xargs -0 stat -c %s -- | awk '{n++; s += $1} END {printf "%d %.0f", n, s}')
  fi
  [ "$totals" = "$want_totals" ] || fail "the release has (files, bytes) $totals instead of $want_totals"
}

publish() {
  stage=$state/staging/$release+$mark
  cd "$root"
  chmod "$root_mode" "$stage/tree"
  if [ -n "$owner" ]; then chown -hR -- "$owner" "$stage/tree"; fi
  meta=$state/meta/$release
  rm -rf "$meta"
  mkdir "$meta"
  mv -f "$stage/manifest.gz" "$meta/manifest.gz"
  printf '%s\n' "$content" >"$meta/content"
  mv "$stage/tree" "$root/releases/$release"
  rm -rf "$stage"
}

# A block that was sent in one piece must not swap for a client that has gone meanwhile.
client_is_there() {
  kill -0 "$PPID" 2>/dev/null || [ -d "/proc/$PPID" ] || fail 'the connection broke before the activation'
}

point() {
  fresh=$root/.evenkeel-current.$mark
  rm -f "$fresh"
  ln -s "$1" "$fresh"
  mv -f -T "$fresh" "$root/current" 2>/dev/null ||
    perl -e 'rename($ARGV[0], $ARGV[1]) or die "$!\n"' "$fresh" "$root/current" ||
    { rm -f "$fresh"; fail "the link could not be swapped (mv -T and perl both failed)"; }
}

activate() {
  [ -d "$root/releases/$release" ] || fail "releases/$release is not there"
  was=$(link_now)
  if [ -f "$state/pending" ]; then was=$(sed -n 2p "$state/pending"); fi
  printf '%s\n%s\n' "$release" "$was" >"$state/pending.new"
  mv -f "$state/pending.new" "$state/pending"
  before=$(id_of "$was")
  if [ -n "$note_before" ] && [ -n "$before" ] && [ "$before" != "$release" ]; then
    printf '%s\n' "$before" >"$state/meta/$release/before"
  fi
  if [ "$(link_now)" != "releases/$release" ]; then point "releases/$release"; fi
  say "current $(link_now)"
}

go_back() {
  if [ -f "$state/pending" ]; then
    failed_id=$(first_line "$state/pending")
    was=$(sed -n 2p "$state/pending")
    if [ "$(link_now)" = "releases/$failed_id" ] && [ "$was" != "releases/$failed_id" ]; then
      if [ -n "$was" ]; then point "$was"; else rm -f "$root/current"; fi
    fi
    if [ -d "$state/meta/$failed_id" ] && ! [ -f "$state/meta/$failed_id/good" ]; then
      : >"$state/meta/$failed_id/failed"
    fi
    rm -f "$state/pending"
  fi
  say "current $(link_now)"
}

# What arrived of a release that cannot come to its end.
discard() { rm -rf "$state/staging/$release+$mark"; }

# The last block of a run: from here on another one may begin.
unlock() {
  if command -v flock >/dev/null 2>&1; then flock -u 9; else rm -f "$state/lock.pid"; fi
}

confirm() {
  : >"$state/meta/$release/good"
  rm -f "$state/meta/$release/failed" "$state/pending"
}

drop() {
  mv "$root/releases/$1" "$state/trash/$mark/" && rm -rf "$state/meta/$1"
}

prune() {
  now=$(id_of "$(link_now)")
  before=$(first_line "$state/meta/$now/before")
  count=0
  mkdir -p "$state/trash/$mark"
  releases | while read -r id; do
    kept=
    if [ "$id" = "$now" ] || [ "$id" = "$before" ]; then kept=yes; fi
    if [ -f "$state/meta/$id/failed" ]; then
      [ -n "$kept" ] || drop "$id" || exit 1
      continue
    fi
    count=$((count + 1))
    if [ -z "$kept" ] && [ "$count" -gt "$keep" ]; then drop "$id" || exit 1; fi
  done && {
    for left in "$state/staging"/*+* "$state/trash"/* "$root"/.evenkeel-current.*; do
      if [ "$left" = "$state/trash/$mark" ]; then continue; fi
      # One of these may just be on its way out by the hand of the run before.
      if [ -e "$left" ] || [ -L "$left" ]; then mv "$left" "$state/trash/$mark/" 2>/dev/null || :; fi
    done
  }
}
`
