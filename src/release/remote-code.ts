// What runs on the server: POSIX shell for dash, bash and busybox. Values come in as variables, each through `quote`.
// Common to both ways of serving: releases-code.ts and in-place-code.ts add the functions of the same names
// (list_releases, describe, claim, verify, publish, give_up, activate, go_back, confirm, prune).
//
// A process takes the server a millisecond or two, a `$(...)` half of one, and each byte of the code a system call:
// functions give their results in variables, and nothing is started where a test of the shell's own tells that there
// is nothing to do.

/** Code for the server's shell in two parts: what it needs to begin, and what it reads while the client compares. */
export interface RemoteCode {
  readonly begin: string
  readonly rest: string
}

/** Functions and names for all blocks below. Needs `root`, `state_path`, `hold_text`, `token` and `own` as variables. */
const BEGIN = String.raw`
umask 022
state=$root/$state_path
hasher=sha256sum
command -v sha256sum >/dev/null 2>&1 || hasher='shasum -a 256'

fail() { say "fail $*"; exit 1; }

# When the client has gone: what was put away is removed after the answer, and after the lock was given back.
bell=$state/bell.$mark
at_exit() {
  look "$state/holder"
  if [ "$one" = "$$" ]; then set -- "$state/beat"; fi
  rm -rf "$@" "$bell" "$state/trash/$mark"
}
trap at_exit EXIT

# The first lines of a file, in $one, $two and $three.
look() {
  one= two= three=
  if [ -f "$1" ]; then
    { IFS= read -r one; IFS= read -r two; IFS= read -r three; } 2>/dev/null <"$1" || :
  fi
}

# The folders above it get the usual mode.
prepare() {
  [ -d "$state/meta" ] && [ -d "$state/staging" ] && return
  mkdir -p -m 700 -- "$state" "$state/meta" "$state/staging"
}

try_lock() {
  if command -v flock >/dev/null 2>&1; then
    # A redirection that fails would end the shell with exec, and does not with true.
    true >>"$state/lock" && exec 9>>"$state/lock" && flock -n 9
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
  look "$state/holder"
  [ -n "$own" ] && [ "$three" = "$own" ] && return
  [ -n "$(find "$state/beat" -mmin +2 2>/dev/null)" ]
}

take_lock() {
  [ -z "$locked" ] || return 0
  tries=0
  until try_lock; do
    if [ "$tries" -ge 5 ] || ! may_break; then
      look "$state/holder"
      say "busy $two"
      return 0
    fi
    look "$state/holder"
    case $one in
      '' | *[!0-9]* | 0 | 1) ;;
      *) kill -s KILL -- "-$one" 2>/dev/null || kill -s KILL "$one" 2>/dev/null ;;
    esac
    tries=$((tries + 1))
    sleep 1
  done
  # Before the look at the other: of two that come at once, one at least sees the other.
  : >"$state/beat"
  printf '%s\n' "$$" "$hold_text" "$token" >"$state/holder"
  # A run through SFTP alone, see sftp-lease.ts.
  if [ -d "$state/lease" ] && [ -n "$(find "$state"/lease/*/beat -mmin -1 2>/dev/null)" ]; then
    unlock
    look "$state/lease/holder"
    say "busy $three"
    return 0
  fi
  locked=yes
  hang_bell
  list_releases
}

# A pipe that is open both ways here: who writes into it never waits, and nothing is lost.
hang_bell() {
  for old in "$state"/bell.*; do
    if [ -e "$old" ]; then rm -f "$old"; fi
  done
  if mkfifo -m 600 "$bell" 2>/dev/null && [ -p "$bell" ]; then
    exec 7<>"$bell"
    say "bell $bell"
  fi
}

describe_server() {
  near=$root
  while ! [ -d "$near" ]; do near=$(dirname "$near"); done
  df -Pk "$near" | {
    read -r _
    read -r _ _ _ free _
    say "free $free"
  }
  for tool in zstd gzip; do
    if command -v $tool >/dev/null 2>&1; then say "tool $tool"; fi
  done
}

# What a manifest has of each hash. A name with a newline or a backslash has one before the hash, or more than its line.
hashes_alone() { sed -n 's/^\\\{0,1\}\([0-9a-f]\{32\}\)[0-9a-f]\{32\} .*$/\1/p'; }

list_names() {
  find . -path ./.evenkeel -prune -o -type d -print0 >"$lists/folders" &&
    find . -path ./.evenkeel -prune -o -type f -print0 >"$lists/names"
}

# A line for each file in the lists, or it fails.
read_files() {
  : >"$lists/hashes" && : >"$lists/modes" && : >"$lists/missed" || return 1
  if ! [ -s "$lists/names" ]; then return 0; fi
  if [ "$1" != sizes ]; then
    { xargs -0 $hasher -- <"$lists/names" || echo missed >"$lists/missed"; } | hashes_alone >"$lists/hashes" || return 1
  fi
  xargs -0 stat -c '%a %s' -- <"$lists/names" >"$lists/modes" && ! [ -s "$lists/missed" ]
}

# The first thing in the lists that may not be read, as far as a line can hold its name.
find_unread() {
  if [ "$1" = sizes ]; then : >"$lists/names"; fi
  test='if [ -e "$name" ] && ! { [ -r "$name" ] && { [ -f "$name" ] || [ -x "$name" ]; }; }; then echo "$name"; fi'
  cat "$lists/folders" "$lists/names" | xargs -0 sh -c "for name do $test; done" sh | sed 's,^\./,,;q' >"$lists/unread"
}

# What lies in a tree, written into a folder of lists; by content, unless only sizes are asked for. Others may take
# files away meanwhile: then it begins anew.
inventory() (
  lists=$2
  cd "$1" || exit 1
  for attempt in 1 2 3 4 5; do
    if list_names && read_files "$3"; then exit 0; fi
    find_unread "$3"
    if [ -s "$lists/unread" ]; then exit 1; fi
  done
  exit 1
)

# Why there is none of this tree.
no_inventory() {
  look "$lists/unread"
  if [ -n "$dry" ]; then rm -rf "$lists"; fi
  if [ -n "$one" ]; then fail "'$1/$one' cannot be read"; fi
  fail "the files in $1 could not be listed, or went while they were read"
}

send_inventory() {
  for list in folders names hashes modes; do send "$list" "$1/$list"; done
}

# What an inventory does not tell of.
drop_specials() { find "$1" ! -type d ! -type f -exec rm -f -- {} +; }

# In the shell itself, when nothing else that it started runs: the kernel's lock goes with its last open file.
unlock() {
  rm -rf "$@" "$state/beat"
  exec 9>&-
  if ! command -v flock >/dev/null 2>&1; then
    trap at_exit EXIT
    rm -f "$state/lock.pid"
  fi
}
`

const REST = `
# What brings the files says so, each with a line.
await_lanes() {
  while [ "$lanes" -gt 0 ]; do
    read -r word <&7
    [ "$word" = arrived ] || fail 'not everything arrived'
    lanes=$((lanes - 1))
  done
}

# A block that was sent in one piece must not swap for a client that has gone meanwhile.
client_is_there() {
  kill -0 "$PPID" 2>/dev/null || [ -d "/proc/$PPID" ] || fail 'the connection broke before the activation'
}

# What arrived of a release that cannot come to its end, or what is left when it has.
discard() { if [ -e "$state/staging/$release+$mark" ]; then rm -rf "$state/staging/$release+$mark"; fi; }

# The end of a run: from here on another one may begin.
finish() { unlock "$state/staging/$release+$mark"; }

# Large files may have come in parts.
join_parts() {
  if ! [ -s ../join.sh ]; then return 0; fi
  (
    cd ..
    . ./join.sh
  )
}

# Much quicker, and wrong for a name with a newline.
line_starts() { cut -b 1-32; }

# All lists at the same time: mostly there is more than one processor.
hash_sent() {
  for list in ../sent.*; do
    if [ -s "$list" ]; then xargs -0 $1 <"$list" | $2 >"../hashes.\${list##*.}" & fi
  done
  wait
  digest=$(cat ../hashes.* | $hasher)
  digest=\${digest%% *}
}

verify_sent() {
  digest=-
  if [ "$want_digest" != - ]; then
    # It uses what the processor has for this, the other mostly does not.
    if [ "$want_bytes" -gt 1000000 ] && command -v openssl >/dev/null 2>&1; then
      hash_sent 'openssl dgst -sha256 -r' line_starts
    fi
    # A newline in a name confuses the first: what does not agree is hashed again.
    [ "$digest" = "$want_digest" ] || hash_sent "$hasher --" hashes_alone
  fi
  [ "$digest" = "$want_digest" ] || fail 'the content that arrived is not the content that was sent'
}
`

export const COMMON_CODE: RemoteCode = { begin: BEGIN, rest: REST }
