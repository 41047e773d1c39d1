// Releases beside each other, the served one named by a link. On the server:
//
// <root>/current                  -> releases/<id>, swapped by one rename
// <root>/releases/<id>            complete and verified releases
// <root>/releases/.evenkeel/      ours, closed to others, on the same file system as the releases:
//   lock, holder, beat            who works here; the kernel frees the lock with its process
//   staging/<id>+<mark>/tree      a release that is not complete yet
//   meta/<id>/                    content (its identity), manifest.gz, before (what it replaced), good or failed
//   pending                       an activation that is not confirmed yet: its release, and where to go back to

/** Functions on top of `COMMON_CODE`. */
export const RELEASES_CODE = String.raw`
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
  describe_server
}


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

file_sizes() {
  if find . -prune -printf '' 2>/dev/null; then
    find . -type f -printf '%s\n'
  elif [ -n "$(find . -type f | sed -n 1p)" ]; then
    find . -type f -print0 | xargs -0 stat -c %s --
  fi
}

verify() {
  stage=$state/staging/$release+$mark
  cd "$stage/tree"
  if [ -s ../remove ]; then xargs -0 rm -f -- <../remove; fi
  if [ -s ../rmdirs ]; then xargs -0 rmdir -- <../rmdirs; fi
  join_parts
  file_sizes | awk '{n++; s += $1} END {printf "%d %.0f\n", n, s}' >../totals &
  verify_sent
  wait
  totals=$(first_line ../totals)
  [ "$totals" = "$want_totals" ] || fail "the release has (files, bytes) $totals instead of $want_totals"
}

publish() {
  stage=$state/staging/$release+$mark
  cd "$root"
  chmod "$root_mode" "$stage/tree"
  if [ -n "$owner" ]; then chown -hR -- "$owner" "$stage/tree"; fi
  meta=$state/meta/$release
  if [ -e "$meta" ]; then rm -rf "$meta"; fi
  mkdir "$meta"
  mv -f "$stage/manifest.gz" "$meta/manifest.gz"
  printf '%s\n' "$content" >"$meta/content"
  mv "$stage/tree" "$root/releases/$release"
  rm -rf "$stage"
}

point() {
  fresh=$root/.evenkeel-current.$mark
  if [ -L "$fresh" ]; then rm -f "$fresh"; fi
  ln -s "$1" "$fresh"
  mv -f -T "$fresh" "$root/current" 2>/dev/null ||
    perl -e 'rename($ARGV[0], $ARGV[1]) or die "$!\n"' "$fresh" "$root/current" ||
    { rm -f "$fresh"; fail "the link could not be swapped (mv -T and perl both failed)"; }
}

activate() {
  [ -d "$root/releases/$release" ] || fail "releases/$release is not there"
  now=$(link_now)
  was=$now
  if [ -f "$state/pending" ]; then was=$(sed -n 2p "$state/pending"); fi
  printf '%s\n%s\n' "$release" "$was" >"$state/pending.new"
  mv -f "$state/pending.new" "$state/pending"
  before=$(id_of "$was")
  if [ -n "$note_before" ] && [ -n "$before" ] && [ "$before" != "$release" ]; then
    printf '%s\n' "$before" >"$state/meta/$release/before"
  fi
  if [ "$now" != "releases/$release" ]; then point "releases/$release"; fi
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

confirm() {
  : >"$state/meta/$release/good"
  rm -f "$state/meta/$release/failed" "$state/pending"
}

into_trash() { mkdir -p "$state/trash/$mark" && mv "$1" "$state/trash/$mark/"; }

drop() { into_trash "$root/releases/$1" && rm -rf "$state/meta/$1"; }

prune() {
  now=$(id_of "$(link_now)")
  before=$(first_line "$state/meta/$now/before")
  count=0
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
      if [ -e "$left" ] || [ -L "$left" ]; then into_trash "$left" 2>/dev/null || :; fi
    done
  }
}
`
