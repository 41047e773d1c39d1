import { quote } from './quote.ts'
import { remoteScript } from './remote-script.ts'
import { launchScript } from './unit-launch.ts'

/** One part of a unit's work. Parts run one after another; the first that fails ends the unit. */
export interface Phase {
  /** A word of lower-case letters. */
  readonly name: string
  /** Run by `sh -e` in the unit's directory, its standard input is /dev/null. */
  readonly script: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs: number
  /**
   * What a cancel in this phase does: `finish` lets it come to its end (for work that must not be cut off in the
   * middle) and ends the unit after it, `end-group` ends its process group, `end-all` also what has left the group.
   */
  readonly onCancel: 'finish' | 'end-group' | 'end-all'
}

/** What a unit is, before it runs. */
export interface UnitPlan {
  /** Unique in its folder; letters, digits, dots and dashes. Shown in the server's process list. */
  readonly name: string
  /** Absolute folder for lock, fence and the units' own folders; it exists. */
  readonly folder: string
  /** Absolute directory to work in. */
  readonly cwd: string
  /** Number of the lock under which it runs: lower than the folder's last is refused. */
  readonly fence: number
  /** One line about the work in progress, kept in `<folder>/current.json` until somebody removes it. */
  readonly journal: string
  readonly phases: readonly Phase[]
}

/** Exit statuses of the start script. */
export const BUSY = 75
export const FENCED = 76
/** What was to be done before the start has failed; its own status is the last word before the log. */
export const NOT_PREPARED = 77

/** Unit folders that are kept, for their logs. */
const KEPT_UNITS = 20

/**
 * Runs apart from any connection. Holds fd 9, the lock on the work, which the kernel frees when it
 * ends, however that happens. Each phase has a session and process group of its own; TERM asks to end the phases
 * that the file `cancel` names.
 */
const SUPERVISOR = String.raw`
trap '' HUP
exec </dev/null
group= phase= on_cancel= ended= woken=
printf '%s\n' "$$" >"$unit/pid"
finish() {
  # On a full disk there is no result, rather than an empty one.
  ! printf '{"outcome":"%s","phase":"%s","code":%s}\n' "$1" "$phase" "$2" >"$unit/result.new" ||
    mv "$unit/result.new" "$unit/result"
  exit 0
}
asked() {
  [ -f "$unit/cancel" ] || return 1
  case " $(cat "$unit/cancel") " in *" $phase "*) return 0 ;; esac
  return 1
}
signal_group() {
  kill -s "$1" -- "-$group" 2>/dev/null || kill -s "$1" "$group" 2>/dev/null
}
end_group() {
  [ -n "$group" ] || return 0
  signal_group TERM
  n=0
  while signal_group 0 && [ "$n" -lt 30 ]; do sleep 0.1; n=$((n + 1)); done
  signal_group KILL
  [ "$on_cancel" = end-all ] || return 0
  # Children that left the group still carry the unit's name.
  for environ in $(grep -lzFx "EVENKEEL_UNIT=$name" /proc/[0-9]*/environ 2>/dev/null); do
    stray=$(printf '%s' "$environ" | tr -cd 0-9)
    kill -s KILL "$stray" 2>/dev/null
  done
}
trap 'woken=1; if asked; then ended=1; [ "$on_cancel" = finish ] || end_group; fi' TERM
# The machine's own clock, which nobody sets, read without a process.
seconds_up() { read -r now rest </proc/uptime; now=${'$'}{now%%.*}; }
run_phase() {
  phase=$1 on_cancel=$3
  printf '%s\n' "$phase" >>"$unit/phase"
  ! asked || finish cancelled 0
  seconds_up; began=$now
  printf '%s\n' "$4" | EVENKEEL_UNIT=$name setsid timeout -k 5 "$2" sh -c 'eval "$(cat)"' evenkeel 9>&- &
  group=$!
  printf '%s %s\n' "$group" "$on_cancel" >"$unit/group"
  [ -z "$ended" ] || [ "$on_cancel" = finish ] || end_group
  woken=1
  while [ -n "$woken" ]; do woken=; wait "$group"; code=$?; done
  [ -z "$ended" ] || finish cancelled "$code"
  case $code in
    0) group= ;;
    124 | 137)
      seconds_up
      [ $((now - began)) -ge "$2" ] || finish failed "$code"
      end_group
      finish timeout "$code" ;;
    *) finish failed "$code" ;;
  esac
}
`

/** Lines of the log from byte `offset` on, at the end the result. */
const FOLLOW = String.raw`
say_result() { printf '\036%s %s\n' "$token" "$1"; }
if [ ! -d "$unit" ]; then say_result '{"outcome":"absent","phase":"","code":0}'; exit 0; fi
printf '\036evenkeel-log\n'
exec 2>/dev/null
while :; do
  over=
  if [ -s "$unit/result" ] || flock -s -n 7 7>>"$folder/work.lock"; then over=1; fi
  size=$(($(wc -c <"$unit/log")))
  if [ "$size" -gt "$offset" ]; then
    tail -c "+$((offset + 1))" "$unit/log" | head -c "$((size - offset))"
    offset=$size
  fi
  [ -z "$over" ] || break
  sleep 0.1
done
if [ -s "$unit/result" ]; then say_result "$(cat "$unit/result")"
else say_result '{"outcome":"lost","phase":"'"$(tail -n 1 "$unit/phase")"'","code":0}'; fi
`

/** A script whose last line tells how it came out; where it fails, that it was refused. Its errors are in its output. */
function telling(token: string, script: string): string {
  return String.raw`
token=${token}
set +e
( set -e
${script}
) 2>&1
code=$?
[ "$code" -eq 0 ] || printf '\036%s {"outcome":"refused","phase":"","code":%s}\n' "$token" "$code"
`
}

/**
 * Ends what is left of units whose supervisor was killed: its group, found again by the unit's name in the environment
 * (numbers are used again after a restart), and of work that must not live on, everything with that name.
 */
const END_LEFT_OVER = String.raw`
left_over() {
  for environ in $(grep -lzFx "EVENKEEL_UNIT=$left_name" /proc/[0-9]*/environ 2>/dev/null); do
    pid=$(printf '%s' "$environ" | tr -cd 0-9)
    [ "$left_cancel" = end-all ] ||
      [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d ' ' -f 3)" = "$left_group" ] || continue
    printf '%s ' "$pid"
  done
}
for left in "$folder"/units/*; do
  [ -f "$left/group" ] && [ ! -s "$left/result" ] || continue
  left_name=$(basename -- "$left")
  read -r left_group left_cancel <"$left/group" || :
  kill -s TERM $(left_over) 2>/dev/null || :
  n=0
  while [ -n "$(left_over)" ] && [ "$n" -lt 30 ]; do sleep 0.1; n=$((n + 1)); done
  kill -s KILL $(left_over) 2>/dev/null || :
  printf '{"outcome":"lost","phase":"%s","code":0}\n' "$(tail -n 1 "$left/phase")" >"$left/result"
done
`

/**
 * Starts a unit and follows it. `before` is done first, without the lock on the work: where it fails, the unit is not
 * started.
 */
export function startScript(plan: UnitPlan, token: string, before = ''): string {
  const { name, folder, cwd, fence, journal, phases } = plan
  const supervisor = [
    `${variables(folder, name)} name=${quote(name)}`,
    SUPERVISOR,
    ...phases.map((phase) => {
      const text = remoteScript(phase.script, { env: { ...phase.env, EVENKEEL_UNIT: name } }).stdin
      const seconds = Math.max(1, Math.ceil(phase.timeoutMs / 1_000))
      return `run_phase ${phase.name} ${seconds} ${phase.onCancel} ${quote(text)}`
    }),
    'finish ok 0',
  ].join('\n')
  const script = String.raw`
${variables(folder, name)} offset=0
${before === '' ? '' : prepared(before)}
exec 9>>"$folder/work.lock"
flock -n 9 || exit ${BUSY}
${END_LEFT_OVER}
read -r fence <"$folder/fence"
[ "$fence" -le ${fence} ] || exit ${FENCED}
old_umask=$(umask)
umask 077
mkdir -p "$unit"
: >"$unit/log"
printf '%s\n' ${quote(journal)} >"$folder/current.new"
mv "$folder/current.new" "$folder/current.json"
umask "$old_umask"
CDPATH= cd -- ${quote(cwd)}
${launchScript(name, supervisor)}
exec 9>&-
# Their names begin with the time.
set -- "$folder"/units/*
while [ "$#" -gt ${KEPT_UNITS} ]; do rm -rf "$1"; shift; done
# Nothing is to be told yet, and the unit has better use for the processor.
sleep 0.1
${FOLLOW}`
  return telling(token, script)
}

function prepared(before: string): string {
  return String.raw`
set +e
( set -e
${before}
)
code=$?
set -e
if [ "$code" -ne 0 ]; then printf '\n%s' "$code"; exit ${NOT_PREPARED}; fi`
}

/** Follows a unit that was started before. */
export function followScript(folder: string, name: string, token: string, offset: number): string {
  return telling(token, `${variables(folder, name)} offset=${offset}\n${FOLLOW}`)
}

/** Asks a unit to end if it is in one of the phases, or as soon as it comes to one. */
export function cancelScript(folder: string, name: string, phases: readonly string[]): string {
  return String.raw`
${variables(folder, name)}
if [ -s "$unit/result" ] || flock -s -n 7 7>>"$folder/work.lock"; then exit 0; fi
printf '%s\n' ${quote(phases.join(' '))} >"$unit/cancel"
kill -s TERM "$(cat "$unit/pid")"
`
}

function variables(folder: string, name: string): string {
  return `folder=${quote(folder)} unit=${quote(`${folder}/units/${name}`)}`
}
