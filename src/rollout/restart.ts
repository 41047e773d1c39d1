import type { Context } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'
import { quote } from '../ssh/quote.ts'
import type { Reconnecting } from '../ssh/reconnecting.ts'
import { attachUnit, runUnit, type UnitResult } from '../ssh/unit.ts'
import { FENCED } from '../ssh/unit-script.ts'

/** Where a node keeps the units of its restarts, as its user's own state. */
export interface UnitFolder {
  /** Absolute. */
  readonly path: string
  /** The user's home. */
  readonly home: string
  /** Whether a unit is at work there, or about to begin. */
  readonly busy: boolean
}

export interface Restart {
  /** Unique among the node's units, and the same for whoever looks for it later. */
  readonly unit: string
  /** Several lines of shell, run by `sh -e` in the user's home. */
  readonly command: string
  readonly address: string
  readonly ip: string
  readonly port: number
  readonly release: string
  /** Number of the lease under which it runs. */
  readonly fence: number
}

/** The command ran and did not succeed. */
export class RestartFailed extends Failure {
  override readonly name = 'RestartFailed'
}

const LINES_SHOWN = 10
/** A command that never ends must not hold the node out for ever, nor the runs after it. */
const LONGEST_RESTART_MS = 30 * 60_000
const PAUSE_MS = 200
const NO_TOOLS = 69

/**
 * Makes the node's folder and raises its fence: from now on no restart begins there under an earlier lease.
 * Throws a `Failure` when a later one has been there, or the server lacks what units need.
 */
export async function claimNode(
  server: Reconnecting,
  { upstream, address, fence }: { upstream: string; address: string; fence: number },
  { signal }: Context,
): Promise<UnitFolder> {
  const name = quote(`${encodeURIComponent(upstream)}@${address}`)
  const script = `
for tool in flock setsid timeout; do command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit ${NO_TOOLS}; }; done
umask 077
folder=\${XDG_STATE_HOME:-$HOME/.local/state}/evenkeel/restarts/${name}
mkdir -p "$folder"
exec 7>>"$folder/fence.lock"
flock 7
last=$(cat "$folder/fence" 2>/dev/null || echo 0)
if [ "$last" -gt ${fence} ]; then echo "$last in $folder/fence" >&2; exit ${FENCED}; fi
printf '%s\\n' ${fence} >"$folder/fence.new"
mv "$folder/fence.new" "$folder/fence"
exec 7>&-
state=busy
if flock -n "$folder/work.lock" true; then state=free; fi
printf '\\n%s\\n%s\\n%s' "$state" "$folder" "$HOME"`
  const { code, stdout, stderr } = await server.connection.script(script, { signal })
  const host = server.name
  const seen = stderr.trim().split('\n').at(-1) ?? ''
  if (code === FENCED) {
    throw new Failure(`a later lease has been at work on ${address}`, {
      host,
      seen: `this run's number is ${fence}, the node has seen ${seen}`,
      state: 'this run restarts nothing there.',
      hint: 'see what the later run does; if Consul has been set up anew (its numbers begin again), delete that file',
    })
  }
  if (code !== 0) {
    throw new Failure('the folder for restarts cannot be used', {
      host,
      seen: seen || `exit code ${code}`,
      hint:
        code === NO_TOOLS
          ? 'install util-linux (flock, setsid) and coreutils (timeout) there'
          : 'check free disk space there, and that the user may write to ~/.local/state',
    })
  }
  const [state, path = '', home = ''] = stdout.split('\n').slice(-3)
  return { path, home, busy: state === 'busy' }
}

/** The name of a restart's unit: sorts by lease, so that the oldest logs are the first to go. */
export function unitName(kind: 'restart' | 'revert', release: string, fence: number): string {
  return `${String(fence).padStart(12, '0')}-${kind}-${release}`
}

/**
 * Restarts the node: the command runs as a unit, which goes on whatever becomes of this process or its connection.
 * Returns the last lines of its log. Throws `RestartFailed`; any other error leaves open whether it ran.
 */
export async function runRestart(
  server: Reconnecting,
  folder: UnitFolder,
  { unit, command, address, ip, port, release, fence }: Restart,
  context: Context,
): Promise<readonly string[]> {
  const env = {
    EVENKEEL_RELEASE: release,
    EVENKEEL_IP: ip,
    EVENKEEL_PORT: String(port),
    EVENKEEL_ADDRESS: address,
  }
  const plan = {
    name: unit,
    folder: folder.path,
    cwd: folder.home,
    fence,
    journal: JSON.stringify({ unit, address, release }),
    // Once begun it comes to its end: half a restart is no state to leave a node in.
    phases: [
      {
        name: 'restart',
        script: `${command}\n`,
        env,
        timeoutMs: LONGEST_RESTART_MS,
        onCancel: 'finish' as const,
      },
    ],
  }
  const result = await runUnit(server, plan, (line) => context.log.info(line), context)
  if (result.outcome === 'lost') throw new Failure('the restart was broken off on its node', about(result))
  if (result.outcome !== 'ok') throw new RestartFailed('the restart command failed', about(result))
  return result.lastLines.slice(-LINES_SHOWN)

  function about(how: UnitResult) {
    return {
      host: server.name,
      seen: describeResult(how),
      hint: `the whole log is ${folder.path}/units/${unit}/log on that server`,
    }
  }
}

/**
 * Waits until a restart that an earlier process began has ended; it is not begun again. `absent`: it never began, and
 * since the node was claimed it never will.
 */
export async function awaitRestart(
  server: Reconnecting,
  node: { upstream: string; address: string; fence: number },
  unit: string,
  context: Context,
): Promise<{ outcome: UnitResult['outcome'] | 'absent'; seen: string }> {
  for (;;) {
    const { path, busy } = await claimNode(server, node, context)
    if (busy) context.log.info('waiting for the restart that is under way there')
    const result = await attachUnit(
      server,
      { folder: path, name: unit },
      (line) => context.log.info(line),
      context,
    )
    if (result) return { outcome: result.outcome, seen: describeResult(result) }
    if (!busy) return { outcome: 'absent', seen: 'it had not begun' }
    // It is about to begin, or another one is at work.
    await context.clock.sleep(PAUSE_MS, context.signal)
  }
}

function describeResult({ outcome, code, lastLines }: UnitResult): string {
  const end = {
    ok: 'it succeeded',
    failed: `exit code ${code}`,
    timeout: `not done after ${formatDuration(LONGEST_RESTART_MS)}`,
    cancelled: 'it was cancelled',
    lost: 'its process has gone without a result',
  }[outcome]
  const lines = lastLines.slice(-LINES_SHOWN)
  return lines.length === 0 ? end : `${end}, last lines: ${lines.join(' / ')}`
}
