import { Failure } from '../failure.ts'
import type { Connection } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import { type HistoryEntry, type Journal, parseEntry } from './history.ts'
import { COMPLETE, type Known } from './push.ts'

/** What is there, read without changing anything. */
export interface Survey {
  /** `none`: the path is missing or empty. */
  readonly checkout: 'repository' | 'none' | 'foreign'
  /** Why it is `foreign`. */
  readonly trouble: string
  /** Programs that the work needs and the server lacks. */
  readonly missing: readonly string[]
  /** Absolute path, `..` and links resolved; '' where there is none yet. */
  readonly path: string
  /** Absolute path of `<git dir>/evenkeel`. */
  readonly folder: string
  /** Whether that folder is there. */
  readonly known: boolean
  readonly origin: string
  readonly head: string | undefined
  /** Changed tracked files, as `git status` shows them. */
  readonly changedFiles: readonly string[]
  readonly freeKiB: number
  /** Number of the last holder of the lock; 0 where there was none. */
  readonly fence: number
  /** Whether somebody held the lock when the rest was read, or may have changed it while it was. */
  readonly held: boolean
  /** What of the asked commit is there; nothing where none was asked about. */
  readonly stored: Known & { readonly hasCommit: boolean }
  readonly history: readonly HistoryEntry[]
  readonly journal: Journal | undefined
  /** Whether a unit works there now, and in which phase it is. */
  readonly busy: boolean
  readonly phase: string
}

const SURVEY = String.raw`${COMPLETE}
# What a login shell prints of its own may lack its newline.
printf '\n'
export GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 LC_ALL=C
say() { printf '%s %s\n' "$1" "$2"; }
for program in git flock setsid timeout; do
  command -v "$program" >/dev/null || say missing "$program"
done
free() { df -Pk -- "$1" | while IFS= read -r line; do say df "$line"; done; }
if [ ! -e "$path" ] && [ ! -L "$path" ]; then
  say checkout none
  above=$path
  until [ -d "$above" ]; do case $above in */*) above=$(dirname -- "$above") ;; *) above=. ;; esac; done
  free "$above"
  exit 0
fi
if [ ! -d "$path" ]; then say checkout foreign; say trouble 'it is not a directory'; exit 0; fi
CDPATH= cd -- "$path"
here=$(pwd -P)
free .
say path "$here"
if [ ! -e .git ] && [ -z "$(ls -A)" ]; then say checkout none; exit 0; fi
if ! top=$(git rev-parse --show-toplevel --absolute-git-dir 2>&1); then
  say checkout foreign; say trouble "$(printf '%s' "$top" | tr '\n' ' ')"; exit 0
fi
if [ "${'$'}{top%
*}" != "$here" ]; then
  say checkout foreign; say trouble "it lies inside the checkout ${'$'}{top%
*}"; exit 0
fi
say checkout repository
folder=${'$'}{top##*
}/evenkeel
say folder "$folder"
if [ -d "$folder" ]; then
  say known yes
  # First of all: what is read after it is right if nobody holds the lock and the fence is still the same later.
  if [ -s "$folder/fence" ]; then read -r fence <"$folder/fence"; say fence "$fence"; fi
  [ ! -f "$folder/deploy.lock" ] || flock -s -n 7 7<"$folder/deploy.lock" || say held yes
  # Its lines are JSON objects, which no other line is.
  if [ -f "$folder/history.jsonl" ]; then tail -n 500 "$folder/history.jsonl"; printf '\n'; fi
  [ ! -f "$folder/current.json" ] || say journal "$(cat "$folder/current.json")"
  if [ -f "$folder/work.lock" ] && ! flock -s -n 7 7<"$folder/work.lock"; then
    say busy yes
    unit=$(sed -n 's/.*"unit":"\([A-Za-z0-9.-]*\)".*/\1/p' "$folder/current.json")
    say phase "$(tail -n 1 "$folder/units/$unit/phase" 2>/dev/null)"
  fi
fi
say origin "$(git config --get remote.origin.url || :)"
git status --porcelain=v2 --branch --no-ahead-behind --untracked-files=no 2>/dev/null ||
  say head "$(git rev-parse --verify -q 'HEAD^{commit}' || :)"
[ -n "$wanted" ] || exit 0
if complete "$wanted"; then say complete yes; exit 0; fi
git for-each-ref --count=2000 --format='have %(objectname) %(*objectname)'
shallow=$(git rev-parse --git-path shallow)
[ ! -f "$shallow" ] || sed 's/^/shallow /' "$shallow"
`

/** Looks at the checkout on a server, and for what a commit could be built on there; changes nothing. */
export async function survey(connection: Connection, path: string, wanted = ''): Promise<Survey> {
  const { code, signal, stdout, stderr } = await connection.openScript(
    `path=${quote(path)} wanted=${quote(wanted)}\n${SURVEY}`,
  )
  if (code !== 0) {
    throw new Failure(`the checkout '${path}' could not be looked at`, {
      host: connection.name,
      seen: stderr.trim() || `exit ${code ?? signal}`,
      state: 'nothing was changed there.',
      hint: 'the user must be able to read and write the path',
    })
  }
  return parseSurvey(stdout)
}

/**
 * A changed file as `git status --short` shows it, from a line of its second porcelain format; undefined for another line.
 * Pure.
 */
function changedFile(kind: string, rest: string): string | undefined {
  // How many fields stand before the path (git-status(1), "Porcelain Format Version 2").
  const before = { '1': 7, '2': 8, u: 9 }[kind]
  if (before === undefined) return undefined
  const fields = rest.split(' ')
  const [path, from] = fields.slice(before).join(' ').split('\t')
  return `${fields[0]?.replaceAll('.', ' ')} ${from === undefined ? path : `${from} -> ${path}`}`
}

/** Parses what the script has said: a word and a value a line. Pure. */
export function parseSurvey(text: string): Survey {
  const lines = text.split('\n')
  const said = lines.map((line) => {
    const space = line.indexOf(' ')
    return { word: line.slice(0, Math.max(space, 0)), value: line.slice(space + 1) }
  })
  const all = (word: string) => said.filter((one) => one.word === word).map((one) => one.value)
  const one = (word: string) => all(word)[0] ?? ''
  const checkout = one('checkout')
  const ids = (word: string) => [
    ...new Set(all(word).flatMap((value) => value.split(' ').filter((id) => /^[0-9a-f]{40,64}$/.test(id)))),
  ]
  const head = /^branch\.oid ([0-9a-f]+)$/m.exec(all('#').join('\n'))?.[1] ?? (one('head') || undefined)
  return {
    checkout: checkout === 'repository' || checkout === 'none' ? checkout : 'foreign',
    trouble: one('trouble'),
    missing: all('missing'),
    path: one('path'),
    folder: one('folder'),
    known: one('known') === 'yes',
    origin: one('origin'),
    head,
    stored: {
      hasCommit: one('complete') === 'yes',
      haves: [...ids('have'), ...(head === undefined ? [] : [head])],
      shallow: ids('shallow'),
    },
    changedFiles: said.flatMap(({ word, value }) => changedFile(word, value) ?? []),
    freeKiB: Number(/(\d+) +(?:\d+%|-) /.exec(all('df').at(-1) ?? '')?.[1]) || 0,
    fence: Number(one('fence')) || 0,
    held: one('held') === 'yes',
    history: lines.flatMap((line) => (line.startsWith('{') ? (parseEntry<HistoryEntry>(line) ?? []) : [])),
    journal: all('journal').flatMap((line) => parseEntry<Journal>(line) ?? [])[0],
    busy: one('busy') === 'yes',
    phase: one('phase'),
  }
}
