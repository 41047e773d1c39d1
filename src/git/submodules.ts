/**
 * Shell functions for submodules. Everything in `.gitmodules` is the word of whoever made the commit: names become folders
 * below `modules`, addresses are asked, so both are checked by rules at least as strict as git's own (check_submodule_name
 * and its later siblings). git's own `submodule update` is not used: it writes over untracked and ignored files.
 */
const READ = String.raw`
refuse_module() { printf 'evenkeel: submodule %s: %s\n' "$1" "$2"; exit 65; }
# Lines of commit and path; one commit of the repository in $1.
modules_of() {
  git --git-dir="$1" -c core.quotePath=false ls-tree -r "$2" | sed -n 's/^160000 commit //p'
}
# The name in .gitmodules for a path, checked.
module_name() {
  case $3 in \"*) refuse_module "$3" 'its path holds a control character or a quote' ;; esac
  name=$(git --git-dir="$1" config --blob "$2:.gitmodules" --get-regexp '^submodule\..*\.path$' 2>/dev/null | while IFS= read -r line; do
    case $line in submodule.*".path $3") line=${'$'}{line#submodule.}; printf '%s' "${'$'}{line%".path $3"}"; break ;; esac
  done)
  case /$name/ in
    // | */../* | */./* | *//* | /-* | *\\*) refuse_module "$3" ".gitmodules does not name it, or by a name that cannot be a folder: '$name'" ;;
  esac
  # One repository inside of another could change what the other runs.
  above=$name
  while :; do
    case $above in */*) above=${'$'}{above%/*} ;; *) break ;; esac
    [ ! -e "$1/modules/$above/HEAD" ] || refuse_module "$3" "its name '$name' lies inside that of another"
  done
  printf '%s' "$name"
}
`

/** `fetch_modules <git dir> <commit> <its address>`: all submodules' commits, in the repositories below `modules`. */
export const FETCH_MODULES = String.raw`${READ}
# The address of $1, which may be relative to $2.
module_url() {
  url=$1 base=${'$'}{2%/} relative=
  case $url in
    ./* | ../*)
      [ -n "$base" ] || return 1
      mark=/ relative=1
      while :; do
        case $url in
          ./*) url=${'$'}{url#./} ;;
          ../*)
            url=${'$'}{url#../}
            case $base in
              *://*/* | /*) base=${'$'}{base%/*} ;;
              *://*) return 1 ;;
              */*) base=${'$'}{base%/*} ;;
              *:*) base=${'$'}{base%:*} mark=: ;;
              *) return 1 ;;
            esac ;;
          *) break ;;
        esac
      done
      url=$base$mark$url ;;
  esac
  case $url in
    *[[:cntrl:]]*) return 1 ;;
    https://[!-]* | ssh://[!-]*) ;;
    http://[!-]*) case $2 in http://*) ;; *) return 1 ;; esac ;;
    /*) [ -n "$relative" ] || return 1 ;;
    -* | *::* | *://* | .*) return 1 ;;
    [!-]*@[!-]*:[!-]*) ;;
    *) return 1 ;;
  esac
  printf '%s' "$url"
}
fetch_modules() (
  modules=$(modules_of "$1" "$2")
  [ -n "$modules" ] || return 0
  # What is beside the repository itself is asked as that is; nothing else of this server.
  case $3 in http://*) also=:http ;; /*) also=:file ;; *) also= ;; esac
  export GIT_ALLOW_PROTOCOL="https:ssh$also"
  printf '%s\n' "$modules" | {
    while IFS=$(printf '\t') read -r commit path; do
      name=$(module_name "$1" "$2" "$path") || { printf '%s\n' "$name"; exit 65; }
      given=$(git --git-dir="$1" config --blob "$2:.gitmodules" --get "submodule.$name.url" || :)
      url=$(module_url "$given" "$3") || refuse_module "$path" "its address '$given' is none that may be asked: https or ssh"
      GIT_DIR=$1/modules/$name
      export GIT_DIR
      if [ ! -e "$GIT_DIR/HEAD" ]; then
        mkdir -p -- "$GIT_DIR"
        git init -q >/dev/null
        git config core.bare false
        git config remote.origin.url "$url"
        git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
      fi
      export GIT_WORK_TREE=.
      complete "$commit" || fetch_from "$url" "$commit" || {
        printf 'evenkeel: submodule %s: its commit %s cannot be had from %s\n' "$path" "$commit" "$url"
        exit 65
      }
      ! lacks_lfs "$commit" || exit 66
      git update-ref "refs/evenkeel/commits/$commit" "$commit"
      module=$GIT_DIR
      unset GIT_DIR GIT_WORK_TREE
      fetch_modules "$module" "$commit" "$url" </dev/null || exit
    done
  }
)
`

/**
 * `place_modules <work tree> <git dir> <commit>`, both relative to the top: checks the submodules of a commit out where
 * they belong; their commits are there already. Changed tracked files and commits that no ref holds are kept as those of
 * the checkout itself are. Needs `GO_TO`.
 */
export const PLACE_MODULES = String.raw`${READ}
keep_changes() {
  [ -z "$(git status --porcelain --untracked-files=no --ignore-submodules=dirty)" ] || {
    saved=$(git stash create "before $sha") || saved=
    [ -n "$saved" ] || { git status --short --untracked-files=no; return 1; }
    git update-ref "refs/evenkeel/stash/$stamp" "$saved"
    printf 'evenkeel: changed tracked files of the submodule %s were saved: refs/evenkeel/stash/%s there\n' "$1" "$stamp"
    git reset -q --hard
  }
  ! held=$(git rev-parse -q --verify HEAD) || [ -n "$(git for-each-ref --count=1 --contains "$held")" ] ||
    git update-ref "refs/evenkeel/kept/$stamp" "$held"
}
place_modules() (
  modules=$(modules_of "$top/$2" "$3")
  [ -n "$modules" ] || return 0
  printf '%s\n' "$modules" | {
    while IFS=$(printf '\t') read -r commit path; do
      name=$(module_name "$top/$2" "$3" "$path") || { printf '%s\n' "$name"; exit 65; }
      full=$1$path module=$2/modules/$name
      cd "$top" || exit 65
      mkdir -p -- "$full"
      [ "$(CDPATH= cd -- "$full" && pwd -P)" = "$top/$full" ] || refuse_module "$path" 'a link leads away from its path'
      link="gitdir: $(printf '%s' "$full" | sed 's#[^/]*#..#g')/$module"
      if [ ! -d "$full/.git" ] && [ "$(cat "$full/.git" 2>/dev/null)" != "$link" ]; then
        printf '%s\n' "$link" >"$full/.git" &&
          git --git-dir="$module" config core.worktree "$(printf '%s' "$module" | sed 's#[^/]*#..#g')/$full" &&
          git --git-dir="$2" config "submodule.$name.url" "$(git --git-dir="$module" config --get remote.origin.url)" || exit 65
      fi
      CDPATH= cd -- "$full" || exit 65
      if [ "$(git rev-parse -q --verify HEAD || :)" != "$commit" ] || [ -n "$(git status --porcelain --untracked-files=no)" ]; then
        keep_changes "$full" || exit 65
        go_to "$commit" || { [ "$?" -eq 1 ] || take_back "$held" "$commit"; exit 65; }
        printf 'evenkeel: submodule %s: checked out %s\n' "$full" "$(git log -1 --format='%h %s')"
      fi
      place_modules "$full/" "$module" "$commit" </dev/null || exit
    done
  }
)
`
