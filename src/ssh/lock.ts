import { Buffer } from 'node:buffer'
import { PassThrough, type Readable } from 'node:stream'
import { type Context, cancelled } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'
import type { Connection } from './connection.ts'
import { quote } from './quote.ts'

/** The runner says this often that it is alive; the server gives the lock up when it has not for so long (ms, s). */
const BEAT_MS = 10_000
const BEAT_TIMEOUT_S = 45

/** Reads a script of so many bytes and leaves the rest of standard input to it. Constant, see remote-script. */
export const READ_SCRIPT = `exec sh -c 'read -r n && eval "$(head -c "$n")"'`

export interface LockRequest {
  /** Absolute folder that exists; holds the lock, its holder and the fence. */
  readonly folder: string
  /** Who asks, for the one who is kept waiting: the run's URL. */
  readonly holder: string
  /** Unique: the second line of the fence while this one has the lock, by which work of its own knows that it has. */
  readonly id?: string
  readonly waitMs: number
  /** The fence of this same deploy's lock before its connection broke: refused if somebody has had it since. */
  readonly resume?: number
  /**
   * Run as soon as the lock is taken, in the same round trip, if nobody has had it since the fence was `after`; ended
   * with the lock.
   */
  readonly work?: { readonly after: number; readonly script: string }
}

/**
 * A lock on a server. A process there holds it by `flock` and lives as long as this connection and the runner's
 * heartbeat do, so that neither a killed runner nor a dead link leaves it behind.
 */
export interface Lock {
  /** Grows with each new holder. Work under a lower one is refused. */
  readonly fence: number
  /** How long nothing had been heard of the holder before, in ms, when this one took it. */
  readonly silentMs: number
  /** Whether the process that held it has ended. */
  readonly lost: boolean
  /** What the work of the request prints; undefined where it was not begun. */
  readonly output: Readable | undefined
  release(): Promise<void>
}

const hold = (work: string) => String.raw`
printf '\n'
exec 8>>"$folder/deploy.lock"
waited=0
told=
until flock -n 8; do
  [ -n "$told" ] || { printf 'held %s %s\n' "$(date +%s)" "$(cat "$folder/holder" 2>/dev/null)"; told=1; }
  # This deploy itself, on a connection that is dead to its runner and not yet to the server.
  [ -z "$resume" ] || [ "$(head -n 1 "$folder/fence")" != "$resume" ] || kill "$(cat "$folder/deploy.pid")" 2>/dev/null || :
  [ "$waited" -lt "$wait" ] || { printf 'refused\n'; exit 0; }
  # Standard input at its end: nobody waits for the lock any more.
  timeout 1 sh -c 'read -r line' || [ "$?" -ne 1 ] || exit 0
  waited=$((waited + 1000))
done
last=0
[ ! -s "$folder/fence" ] || read -r last <"$folder/fence"
fence=$((last + 1))
if [ -n "$resume" ]; then
  [ "$last" = "$resume" ] || { printf 'taken\n'; exit 0; }
  fence=$resume
fi
printf '%s\n' "$$" >"$folder/deploy.pid"
printf '%s\n' "$fence" "$id" >"$folder/fence.new" && mv "$folder/fence.new" "$folder/fence" || exit 1
now=$(date +%s)
printf '%s %s\n' "$now" "$holder" >"$folder/holder"
beaten=0
[ ! -s "$folder/beat" ] || read -r beaten <"$folder/beat"
silent=$((now - beaten))
printf '%s\n' "$now" >"$folder/beat"
begun= work=
[ "$after" != "$last" ] || begun=begun
printf 'got %s %s %s\n' "$fence" "$silent" "$begun"
if [ -n "$begun" ]; then
(
${work}
) 8>&- </dev/null &
work=$!
fi
while timeout "$beat" sh -c 'read -r line' 8>&-; do date +%s >"$folder/beat"; done
[ -z "$work" ] || kill "$work" 2>/dev/null || :
`

/** Takes the lock, waiting for it; throws a `Failure` that names the holder when it stays taken. */
export async function takeLock(
  connection: Connection,
  request: LockRequest,
  context: Context,
): Promise<Lock> {
  const { folder, holder, id = '', waitMs, resume, work } = request
  const { channel, ended } = await connection.start(READ_SCRIPT)
  channel.on('error', () => {})
  let errors = ''
  channel.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString('utf8')).slice(-4096)
  })
  const settings = `folder=${quote(folder)} holder=${quote(holder)} id=${quote(id)} wait=${waitMs} resume=${resume ?? ''} beat=${BEAT_TIMEOUT_S} after=${work?.after ?? 'none'}`
  const script = Buffer.from(`${settings}\n${hold(work?.script ?? ':')}`)
  channel.write(Buffer.concat([Buffer.from(`${script.length}\n`), script]))
  const output = new PassThrough()
  let held = 'by another deploy'
  let abort = () => {}
  const got = await new Promise<string>((resolve, reject) => {
    const wait = "wait for that run to end and run this one again, or raise the input 'lock-wait'"
    const refuse = (what: string, seen: string, hint = wait) =>
      reject(
        new Failure(what, {
          host: connection.name,
          seen,
          state: 'nothing was changed there.',
          hint,
        }),
      )
    abort = () => {
      channel.close()
      reject(cancelled(context.signal))
    }
    if (context.signal.aborted) abort()
    context.signal.addEventListener('abort', abort, { once: true })
    const understand = (line: string) => {
      const [word, rest = ''] = split(line)
      if (word === 'got') resolve(rest)
      if (word === 'taken') refuse('a later run has taken over', held)
      if (word === 'refused') refuse('another deploy is at work there', held)
      if (word === 'held') {
        held = describeHolder(rest)
        context.log.info(`the lock is held ${held}${waitMs > 0 ? '; waiting for it' : ''}`)
      }
      return word === 'got'
    }
    let text: Buffer = Buffer.alloc(0)
    let isGot = false
    channel.on('data', (chunk: Buffer) => {
      text = isGot ? chunk : Buffer.concat([text, chunk])
      for (let end = text.indexOf(10); !isGot && end >= 0; end = text.indexOf(10)) {
        isGot = understand(text.subarray(0, end).toString('utf8'))
        text = text.subarray(end + 1)
      }
      if (isGot) output.write(text)
    })
    channel.once('close', () => output.end())
    ended.then(
      ({ code }) =>
        refuse(
          'the lock could not be taken',
          errors.trim() || `exit code ${code}`,
          'check the free disk space there, and that the user may write to the folder',
        ),
      reject,
    )
  }).finally(() => context.signal.removeEventListener('abort', abort))
  const beats = setInterval(() => channel.write('\n'), BEAT_MS)
  let lost = false
  const lose = () => {
    lost = true
    clearInterval(beats)
  }
  // What the work has started may keep the channel open for longer than the lock's holder lives.
  const gone = new Promise<void>((resolve) => {
    channel.once('exit', () => resolve())
    ended.then(
      () => resolve(),
      () => resolve(),
    )
  })
  void gone.then(lose)
  const [fence, silentS, begun] = got.split(' ')
  return {
    fence: Number(fence),
    silentMs: Number(silentS) * 1_000,
    get lost() {
      return lost
    },
    output: begun === 'begun' ? output : undefined,
    async release() {
      clearInterval(beats)
      channel.end()
      await gone
    },
  }
}

/** `<now> <since> <holder>`, both times in seconds. */
function describeHolder(text: string): string {
  const [now = '', rest = ''] = split(text)
  const [since = '', holder = ''] = split(rest)
  if (holder === '') return 'by another deploy'
  return `by ${holder} for ${formatDuration(Math.max(0, Number(now) - Number(since)) * 1_000)}`
}

function split(line: string): [string, string] {
  const space = line.indexOf(' ')
  return space < 0 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)]
}
