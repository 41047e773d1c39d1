import type { RemoteCode } from './remote-code.ts'

// Files straight in the served folder. On the server:
//
// <root>/                      the site, and whatever else lies there
// <root>/.evenkeel/            ours, closed to others, on the same file system as the site:
//   lock, holder, beat         who works here
//   staging/<id>+<mark>/tree   files that are not in their place yet
//   next/                      an upload that arrived whole: tree, keep.sh, put.sh, gone.sh, restore.sh, manifest.gz, content
//   back/                      what `next` replaces, by hard links, until it is confirmed
//   site/                      what our last confirmed upload put there: release, content, manifest.gz
//   pending, undoing           `next` is being put in place and not confirmed; it is being taken back
//   confirmed, site.new        it stands, and the list of what lies there gives way to the new one

// The scripts in `next` call the functions in the middle of both parts.

const BEGIN = `
next=$state/next
back=$state/back
real_root=

# There are none beside each other.
list_releases() { :; }

# The release that is confirmed here.
find_placed() {
  look "$state/site/release"
  placed=$one
}

# What is left to do of a confirmation, which may be one that was broken off.
finish_confirm() {
  if ! [ -f "$state/confirmed" ]; then return 0; fi
  if [ -d "$state/site.new" ]; then
    set --
    for left in "$state/site" "$next" "$back"; do
      if [ -d "$left" ]; then set -- "$@" "$left"; fi
    done
    mkdir -p "$state/trash/$mark"
    if [ $# -gt 0 ]; then mv "$@" "$state/trash/$mark/"; fi
    mv "$state/site.new" "$state/site"
  fi
  rm -f "$state/confirmed"
}

describe() {
  if [ -z "$dry" ]; then finish_confirm; fi
  find_placed
  say "current \${placed:+releases/$placed}"
  if [ -n "$placed" ]; then
    look "$state/site/content"
    say "release $placed $one good"
  fi
  if [ -f "$state/pending" ]; then
    look "$state/pending"
    say "pending $one \${placed:+releases/$placed}"
  fi
  describe_server
}

claim() {
  find_placed
  if [ "$placed" = "$release" ]; then return 0; fi
  lists=
  if [ -n "$dry" ]; then
    if [ -n "$full" ]; then lists=$(mktemp -d); fi
  else
    stage=$state/staging/$release+$mark
    lists=$stage
    # What a dead run left half in place would be taken for the site.
    go_back
    take_up
  fi
  if [ -f "$state/site/manifest.gz" ]; then send manifest "$state/site/manifest.gz"; fi
  if [ -n "$full" ] && [ -d "$root" ]; then
    inventory "$root" "$lists" "$full" || no_inventory "$root"
    (cd "$root" && find . -path ./.evenkeel -prune -o -type l -print0) >"$lists/links"
    send_inventory "$lists"
    send links "$lists/links"
  fi
  if [ -n "$dry" ] && [ -n "$full" ]; then rm -rf "$lists"; fi
  say 'base place'
}

# Whatever an earlier attempt at this release has brought is in the new one's folder from the start.
take_up() {
  old=
  look "$next/release"
  if [ "$one" = "$release" ] && [ -d "$next/tree" ]; then old=$next; fi
  for folder in "$state/staging/$release+"*; do
    if [ -d "$folder/tree" ]; then old=$folder; fi
  done
  mkdir "$stage"
  if [ -n "$old" ] && drop_specials "$old/tree" && mv "$old/tree" "$stage/" && inventory "$stage/tree" "$stage"; then
    for list in folders names hashes modes; do send "arrived-$list" "$stage/$list"; done
  else
    if [ -e "$stage/tree" ]; then rm -rf "$stage/tree"; fi
    mkdir "$stage/tree"
  fi
  for folder in "$state/staging/$release+"*; do
    if [ "$folder" != "$stage" ]; then rm -rf "$folder"; fi
  done
}

# Enters a folder of the site, but never one that a link has put elsewhere.
enter() {
  cd -P -- "$real_root/$1" || fail "'$1' cannot be entered"
  case $PWD/ in
    "$real_root"/*) ;;
    *) fail "'$1' leads out of the folder of the site" ;;
  esac
}

# Mode, the folder that it lies in, its name.
folder() {
  enter "$2"
  if [ -L "$3" ]; then fail "'$2/$3' is a symbolic link there, where the site has a folder"; fi
  if ! [ -d "$3" ]; then
    mkdir -- "./$3"
    if [ -n "$owner" ]; then chown -- "$owner" "./$3"; fi
  fi
  chmod "$1" "./$3"
}

# A folder goes when nothing is left in it.
no_folder() {
  if ! [ -d "$real_root/$1" ]; then return 0; fi
  enter "$1"
  if [ -L "./$2" ] || ! [ -d "./$2" ]; then return 0; fi
  rmdir -- "./$2" 2>/dev/null || :
}

gone() {
  if ! [ -d "$real_root/$1" ]; then return 0; fi
  enter "$1"
  from=$back/$1
  shift
  for name do
    shift
    if [ -f "$from/$name" ] || [ -L "$from/$name" ] || [ -d "$name" ] && ! [ -L "$name" ]; then continue; fi
    set -- "$@" "./$name"
  done
  if [ $# -gt 0 ]; then rm -f -- "$@"; fi
}

# Two names of one file, which mv will not move onto each other: what was to replace it has not come yet.
is_same() {
  if [ -L "$1" ]; then
    [ -L "$2" ] && [ "$(readlink "$1")" = "$(readlink "$2")" ]
  else
    [ -f "$1" ] && ! [ -L "$2" ] && [ "$1" -ef "$2" ]
  fi
}

restore() {
  if ! [ -d "$back/$1" ]; then return 0; fi
  enter "$1"
  from=$back/$1
  shift
  for name do
    shift
    if is_same "$from/$name" "./$name"; then
      rm -f -- "$from/$name"
    elif [ -f "$from/$name" ] || [ -L "$from/$name" ]; then
      set -- "$@" "$from/$name"
    fi
  done
  if [ $# -gt 0 ]; then mv -f -- "$@" .; fi
}

run_script() {
  [ -n "$real_root" ] || real_root=$(cd -P -- "$root" && pwd -P)
  look "$next/owner"
  owner=$one
  . "$next/$1"
}

go_back() {
  if [ -f "$state/pending" ]; then
    if ! [ -f "$state/undoing" ]; then
      run_script gone.sh
      : >"$state/undoing"
    fi
    run_script restore.sh
    if [ -n "$(find "$back" ! -type d | sed -n 1p)" ]; then fail 'not everything could be put back in its place'; fi
    rm -f "$state/pending" "$state/undoing"
    rm -rf "$next" "$back"
  fi
  find_placed
  say "current \${placed:+releases/$placed}"
}
`

const REST = String.raw`
verify() {
  stage=$state/staging/$release+$mark
  cd "$stage/tree"
  join_parts
  verify_sent
}

publish() {
  cd "$root"
  if [ -n "$owner" ]; then chown -hR -- "$owner" "$stage/tree"; fi
  printf '%s\n' "$release" >"$stage/release"
  printf '%s\n' "$content" >"$stage/content"
  printf '%s\n' "$owner" >"$stage/owner"
  if [ -e "$next" ] || [ -e "$back" ]; then rm -rf "$next" "$back"; fi
  mv "$stage" "$next"
}

# What arrived whole goes as well, unless it is being put in place.
give_up() {
  discard
  if ! [ -f "$state/pending" ]; then rm -rf "$next" "$back"; fi
}

keep() {
  if ! [ -d "$real_root/$1" ]; then return 0; fi
  enter "$1"
  into=$back/$1
  shift
  for name do
    shift
    if [ -f "$name" ] || [ -L "$name" ]; then set -- "$@" "./$name"; fi
  done
  if [ $# -eq 0 ]; then return 0; fi
  mkdir -p -- "$into"
  if cp -al -- "$@" "$into/" 2>/dev/null; then return 0; fi
  (cd "$into" && rm -f -- "$@") && cp -a -- "$@" "$into/"
}

put() {
  enter "$1"
  from=$next/tree/$1
  shift
  for name do
    shift
    if [ -d "$name" ] && ! [ -L "$name" ]; then fail "'$name' is a folder there, where the site has a file"; fi
    set -- "$@" "$from/$name"
  done
  mv -f -- "$@" .
}

drop() {
  if ! [ -d "$real_root/$1" ]; then return 0; fi
  enter "$1"
  shift
  for name do
    shift
    set -- "$@" "./$name"
  done
  rm -f -- "$@"
}

activate() {
  if ! [ -d "$next" ]; then
    # Confirmed here by an earlier run, while another host had yet to follow.
    find_placed
    [ "$placed" = "$release" ] || fail "release $release is not there"
    say "current releases/$release"
    return 0
  fi
  mkdir -p "$back"
  run_script keep.sh
  if [ -e "$state/undoing" ]; then rm -f "$state/undoing"; fi
  printf '%s\n' "$release" >"$state/pending.new"
  mv -f "$state/pending.new" "$state/pending"
  run_script put.sh
  say "current releases/$release"
}

confirm() {
  if ! [ -f "$state/pending" ]; then return 0; fi
  if [ -d "$state/site.new" ]; then rm -rf "$state/site.new"; fi
  mkdir "$state/site.new"
  cp "$next/manifest.gz" "$next/content" "$next/release" "$state/site.new/"
  # From here on it stands.
  mv -f "$state/pending" "$state/confirmed"
  finish_confirm
}

prune() {
  set --
  for left in "$next" "$back" "$state/staging"/*+* "$state/trash"/*; do
    if [ "$left" = "$state/trash/$mark" ]; then continue; fi
    if [ -e "$left" ]; then set -- "$@" "$left"; fi
  done
  if [ $# -eq 0 ]; then return 0; fi
  mkdir -p "$state/trash/$mark"
  mv "$@" "$state/trash/$mark/" 2>/dev/null || :
}
`

/** Functions on top of `COMMON_CODE`. */
export const IN_PLACE_CODE: RemoteCode = { begin: BEGIN, rest: REST }
