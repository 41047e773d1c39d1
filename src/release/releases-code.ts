import { KEEP_REACHABLE } from './assets-code.ts'
import type { RemoteCode } from './remote-code.ts'

// Releases beside each other, the served one named by a link. On the server:
//
// <root>/current                  -> releases/<id>, swapped by one rename
// <root>/releases/<id>            complete and verified releases
// <root>/releases/.evenkeel/      ours, closed to others, on the same file system as the releases:
//   lock, holder, beat            who works here; the kernel frees the lock with its process
//   staging/<id>+<mark>/tree      a release that is not complete yet; `filling` until all of its base is there
//   meta/<id>/                    content (its identity), manifest.gz, before (what it replaced), good or failed,
//                                 assets (what `keep-assets` picks of it), altered (its files may be others than
//                                 manifest.gz says: by commands of the user, or by assets of one gone back from)
//   pending                       an activation that is not confirmed yet: its release, and where to go back to; none
//                                 where nothing is to be looked at after the swap

const BEGIN = `
# The text of the link, '' where there is none.
link=
at_once=
read_link() {
  link=
  if [ -L "$root/current" ]; then link=$(readlink "$root/current") || :; fi
}

# The release that a link names.
id_of() {
  id=
  case $1 in releases/*/*) ;; releases/?*) id=\${1#releases/} ;; esac
}

# Newest first. Once, when the lock has been taken: from then on nobody else makes or removes one.
releases=
list_releases() {
  releases=
  set -- "$state"/meta/*/content
  if ! [ -e "$1" ]; then return 0; fi
  for noted in $(cd "$state/meta" && ls -1t -- */content); do
    id=\${noted%/content}
    if [ -d "$root/releases/$id" ]; then releases="$releases $id"; fi
  done
}

describe() {
  if [ -e "$root/current" ] && ! [ -L "$root/current" ]; then
    fail "'current' in $root is not a symbolic link"
  fi
  read_link
  say "current $link"
  if [ -f "$state/pending" ]; then
    look "$state/pending"
    say "pending $one $two"
  fi
  if [ -n "$dry" ]; then list_releases; fi
  for id in $releases; do
    mark_of=new
    if [ -f "$state/meta/$id/failed" ]; then mark_of=failed; fi
    if [ -f "$state/meta/$id/good" ]; then mark_of=good; fi
    look "$state/meta/$id/content"
    known=$one
    look "$state/meta/$id/before"
    say "release $id $known $mark_of $one"
  done
  describe_server
}

copy_base() {
  if cp -al "$base/." "$stage/filling/" 2>"$stage/problem"; then return 0; fi
  say "copied $(tail -n 1 "$stage/problem")"
  rm -rf "$stage/filling"
  mkdir "$stage/filling"
  if cp -a "$base/." "$stage/filling/"; then return 0; fi
  rm -rf "$stage"
  fail 'the release before could not be copied'
}

# What the next run finds of it is whole.
fill() {
  if [ -n "$base" ]; then copy_base; fi
  if [ -n "$full" ]; then drop_specials "$stage/filling"; fi
  mv "$stage/filling" "$stage/tree"
}

# After describe: by the link that it found.
send_base() {
  base=
  id_of "$link"
  if [ -z "$id" ]; then
    set -- $releases
    id=$1
  fi
  if [ -n "$id" ] && [ -f "$state/meta/$id/manifest.gz" ] && [ -d "$root/releases/$id" ]; then
    base=$root/releases/$id
    send manifest "$state/meta/$id/manifest.gz"
    say "stored $id"
    if [ -f "$state/meta/$id/altered" ]; then
      full=yes
      if [ -s "$state/meta/$id/assets" ]; then send assets "$state/meta/$id/assets"; fi
    fi
  fi
  if [ -n "$old" ] && drop_specials "$old/tree" && inventory "$old/tree" "$old"; then
    send_inventory "$old"
    base=$old/tree
    say 'base staging'
  elif [ -z "$base" ]; then
    say 'base none'
  elif [ -z "$full" ]; then
    say 'base release'
  else
    lists=$stage
    [ -n "$lists" ] || lists=$(mktemp -d)
    inventory "$base" "$lists" || no_inventory "$base"
    send_inventory "$lists"
    [ -n "$stage" ] || rm -rf "$lists"
    say 'base hashed'
  fi
}

claim() {
  stage=
  if [ -d "$root/releases/$release" ] && [ -f "$state/meta/$release/content" ]; then
    # What was left of it by a run that ended before its own end.
    if [ -z "$dry" ]; then clear_stages; fi
    return 0
  fi
  if [ -e "$root/releases/$release" ]; then fail "releases/$release is there, but not from an upload of this action"; fi
  old=
  for folder in "$state/staging/$release+"*; do
    if [ -d "$folder/tree" ]; then old=$folder; fi
  done
  if [ -n "$dry" ]; then
    old=
    send_base
    return 0
  fi
  stage=$state/staging/$release+$mark
  into=tree
  if [ -n "$old$releases" ]; then into=filling; fi
  mkdir "$stage" "$stage/meta" "$stage/$into"
  send_base
  if [ "$into" = filling ]; then fill; fi
  clear_stages
}

# Of this release, other than its own.
clear_stages() {
  for folder in "$state/staging/$release+"*; do
    if [ -e "$folder" ] && [ "$folder" != "$stage" ]; then rm -rf "$folder"; fi
  done
}
`

const REST = String.raw`
file_sizes() {
  # Not every find can print. What it cannot read is missing from the totals.
  if find . -type f -printf '%s\n' 2>/dev/null; then return 0; fi
  if [ -n "$(find . -type f | sed -n 1p)" ]; then find . -type f -print0 | xargs -0 stat -c %s --; fi
}

verify() {
  stage=$state/staging/$release+$mark
  cd "$stage/tree"
  if [ -s ../remove ]; then xargs -0 rm -f -- <../remove; fi
  if [ -s ../rmdirs ]; then xargs -0 rmdir -- <../rmdirs; fi
  join_parts
  # Beside the hashing, whose pace counts.
  { chmod "$root_mode" . && file_sizes | awk '{n++; s += $1} END {printf "%d %.0f\n", n, s}' >../totals; } &
  verify_sent
  wait
  look ../totals
  [ "$one" = "$want_totals" ] || fail "the release has (files, bytes) $one instead of $want_totals"
}

publish() {
  cd "$root"
  if [ -n "$owner" ]; then chown -hR -- "$owner" "$stage/tree"; fi
  meta=$state/meta/$release
  if [ -e "$meta" ]; then rm -rf "$meta"; fi
  printf '%s\n' "$content" >"$stage/meta/content"
  mv "$stage/meta" "$meta"
  mv "$stage/tree" "$root/releases/$release"
}

give_up() { discard; }

point() {
  fresh=$root/.evenkeel-current.$mark
  if [ -L "$fresh" ]; then rm -f "$fresh"; fi
  ln -s "$1" "$fresh"
  mv -f -T "$fresh" "$root/current" 2>/dev/null ||
    perl -e 'rename($ARGV[0], $ARGV[1]) or die "$!\n"' "$fresh" "$root/current" ||
    { rm -f "$fresh"; fail "the link could not be swapped (mv -T and perl both failed)"; }
  link=$1
}

# A way back is kept, unless nothing can go wrong any more after the swap.
activate() {
  [ -d "$root/releases/$release" ] || fail "releases/$release is not there"
  read_link
  was=$link
  if [ -f "$state/pending" ]; then
    look "$state/pending"
    was=$two
    at_once=
  fi
  if [ -z "$at_once" ]; then
    printf '%s\n%s\n' "$release" "$was" >"$state/pending.new"
    mv -f "$state/pending.new" "$state/pending"
  fi
  id_of "$was"
  if [ -n "$note_before" ] && [ -n "$id" ] && [ "$id" != "$release" ]; then
    printf '%s\n' "$id" >"$state/meta/$release/before"
  fi
  if [ "$link" != "releases/$release" ]; then
    id_of "$link"
    # What is made from it has them.
    [ -n "$note_before" ] || keep_reachable "$id" "$release"
    point "releases/$release"
  fi
  say "current $link"
}

go_back() {
  read_link
  if [ -f "$state/pending" ]; then
    look "$state/pending"
    if [ "$link" = "releases/$one" ] && [ "$two" != "releases/$one" ]; then
      if [ -n "$two" ]; then
        id_of "$two"
        keep_reachable "$one" "$id"
        point "$two"
      else
        rm -f "$root/current"
        link=
      fi
    fi
    if [ -d "$state/meta/$one" ] && ! [ -f "$state/meta/$one/good" ]; then
      : >"$state/meta/$one/failed"
    fi
    rm -f "$state/pending"
  fi
  say "current $link"
}

# Where no way back was kept, it must not fail.
confirm() {
  true >"$state/meta/$release/good" || [ -n "$at_once" ]
  if [ -e "$state/meta/$release/failed" ] || [ -e "$state/pending" ]; then
    rm -f "$state/meta/$release/failed" "$state/pending"
  fi
}

into_trash() { mkdir -p "$state/trash/$mark" && mv "$@" "$state/trash/$mark/"; }

# Those that failed, and those beyond "keep" of the others; never the one served and the one before it.
prune_releases() {
  [ -n "$link" ] || read_link
  id_of "$link"
  now=$id
  look "$state/meta/$now/before"
  case " $releases " in *" $release "*) ;; *) releases="$release $releases" ;; esac
  count=0
  outdated=
  set --
  for id in $releases; do
    [ -d "$root/releases/$id" ] || continue
    if ! [ -f "$state/meta/$id/failed" ]; then
      count=$((count + 1))
      [ "$count" -gt "$keep" ] || continue
    fi
    if [ "$id" != "$now" ] && [ "$id" != "$one" ]; then
      outdated="$outdated $id"
      set -- "$@" "$root/releases/$id"
    fi
  done
  if [ $# -eq 0 ]; then return 0; fi
  moved=0
  into_trash "$@" || moved=1
  set --
  for id in $outdated; do
    if ! [ -e "$root/releases/$id" ]; then set -- "$@" "$state/meta/$id"; fi
  done
  rm -rf "$@" && return $moved
}

prune() {
  set -- "$state"/meta/*/content
  known=$#
  set -- "$state"/meta/*/failed
  if [ "$known" -gt "$keep" ] || [ -e "$1" ]; then prune_releases || return 1; fi
  set --
  for left in "$state/staging"/*+* "$state/trash"/* "$root"/.evenkeel-current.*; do
    case $left in "$state/trash/$mark" | "$state/staging/$release+$mark") continue ;; esac
    if [ -e "$left" ] || [ -L "$left" ]; then set -- "$@" "$left"; fi
  done
  # One of these may just be on its way out by the hand of the run before.
  if [ $# -gt 0 ]; then into_trash "$@" 2>/dev/null || :; fi
}
`

/** Functions on top of `COMMON_CODE`. */
export const RELEASES_CODE: RemoteCode = { begin: BEGIN, rest: KEEP_REACHABLE + REST }
