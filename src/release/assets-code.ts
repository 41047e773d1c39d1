import { compactScript } from '../ssh/compact-script.ts'

/** With the folder and the notes of the release that comes, and paths. Without a single quote: it is quoted below. */
const HAND_ON = compactScript(`
  to=$1
  meta=$2
  shift 2
  code=0
  for path do
    folder=$to
    rest=$path
    while [ "$rest" != "\${rest#*/}" ]; do
      folder=$folder/\${rest%%/*}
      rest=\${rest#*/}
      if [ -L "$folder" ]; then continue 2; fi
    done
    if [ -e "$to/$path" ] || [ -L "$to/$path" ] || ! [ -f "$path" ]; then continue; fi
    # One that goes in its turn hands it on.
    true >"$meta/altered" && printf "%s\\0" "$path" >>"$meta/assets" && { [ -d "$folder" ] || mkdir -p -- "$folder"; } &&
      { ln -- "$path" "$to/$path" 2>/dev/null || cp -p -- "$path" "$to/$path"; } || code=1
  done
  exit $code
`)

/**
 * A function for releases-code.ts: what `keep-assets` picked of the release that goes stays reachable in an older one
 * that comes back.
 */
export const KEEP_REACHABLE = `
# A page of the release that goes (its id first) may name what only that one has.
keep_reachable() {
  assets=$state/meta/$1/assets
  to=$root/releases/$2
  if [ -z "$2" ] || [ "$1" = "$2" ] || ! [ -s "$assets" ] || ! [ -d "$to" ]; then return 0; fi
  # Nothing is written through a link: it may lead anywhere.
  (cd "$root/releases/$1" && xargs -0 sh -c '${HAND_ON}' keep "$to" "$state/meta/$2" <"$assets") || say unreachable
}
`
