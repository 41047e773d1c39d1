import { Failure } from '../failure.ts'
import { quote } from '../ssh/quote.ts'
import type { Preparation } from '../ssh/unit.ts'
import type { Phase, UnitPlan } from '../ssh/unit-script.ts'
import { checkoutScript } from './checkout.ts'
import type { Journal } from './history.ts'
import { commandsDigest, type DeployPlan } from './plan.ts'
import { fetchFailure, fetchScript } from './repository.ts'

/** Status of a preparation that was not needed any more. */
const LOCK_LOST = 68

/** The host that work is for, as it was found. */
export interface Place {
  readonly host: string
  /** Absolute path of the checkout, and of the folder for the deploys' own files. */
  readonly path: string
  readonly folder: string
  /** Number of the deploy's lock. */
  readonly fence: number
  /** The commit that is up, and the one to go back to. */
  readonly before: string | undefined
  readonly wayBack: string | undefined
}

/** What one unit is to do. */
export interface Task {
  readonly purpose: Journal['purpose']
  readonly sha: string
  /** It only checks out. */
  readonly bare?: boolean
}

/** A free lock takes milliseconds. */
const AWAIT_LOCK = `looks=0
until has_lock 2>/dev/null; do
  looks=$((looks + 1))
  [ "$looks" -lt 1000 ] || exit ${LOCK_LOST}
  sleep 0.01
done`

/**
 * The commit is fetched right before the unit starts, or read from standard input where it is `pushed`; the unit starts
 * only if the deploy is still alive then. A pushed one may come while the lock is still being taken. Pure.
 */
export function preparation(plan: DeployPlan, place: Place, pushed = false): Preparation {
  const { host, path, folder, fence } = place
  const script = `folder=${quote(folder)}
has_lock() { { read -r fence; read -r owner; } <"$folder/fence" && [ "$fence $owner" = ${quote(`${fence} ${plan.id}`)} ]; }
${pushed ? AWAIT_LOCK : ''}
${fetchScript(path, plan.sha, plan.source, pushed)}
has_lock && ! flock -s -n 7 7>>"$folder/deploy.lock" || exit ${LOCK_LOST}`
  const explain = (code: number, output: string) =>
    code === LOCK_LOST
      ? new Failure('the lock was lost while the commit was fetched', {
          host,
          state: 'the checkout and what runs are as they were.',
          hint: 'run the job again',
        })
      : fetchFailure(host, plan.sha, plan.source, code, output)
  return { script, explain }
}

/** The unit for a task: checkout, build and up. `nowMs` is the time of day. Pure. */
export function unitPlan(plan: DeployPlan, place: Place, task: Task, nowMs: number): UnitPlan {
  const { purpose, sha, bare = false } = task
  const now = new Date(nowMs).toISOString()
  const stamp = now.replaceAll(/[-:]/g, '').replace('.', '-')
  const name = `${stamp}-${plan.id.slice(0, 8)}-${purpose}`
  const journal: Journal = {
    id: plan.id,
    unit: name,
    purpose,
    sha: plan.sha,
    previous: place.before ?? null,
    wayBack: place.wayBack ?? null,
    at: now,
    actor: plan.actor,
    run: plan.run,
    release: plan.release,
    commands: commandsDigest(plan),
  }
  const checkout: Phase = {
    name: 'checkout',
    script: checkoutScript(sha, `${stamp}-${sha.slice(0, 7)}`, purpose === 'deploy' ? plan.sync : 'back'),
    timeoutMs: plan.timeoutMs,
    onCancel: 'finish',
  }
  return {
    name,
    folder: place.folder,
    cwd: place.path,
    fence: place.fence,
    journal: JSON.stringify(journal),
    phases: bare ? [checkout] : [checkout, ...commandPhases(plan, task)],
  }
}

function commandPhases(plan: DeployPlan, { purpose, sha }: Task): Phase[] {
  const release = purpose === 'deploy' ? plan.release : `${sha.slice(0, 7)}-rollback`
  const env = { ...plan.env, EVENKEEL_RELEASE: release }
  const { timeoutMs } = plan
  return [
    { name: 'build', script: `${plan.build}\n`, env, timeoutMs, onCancel: 'end-all' },
    // What `up` has put apart from itself is the app, which is meant to live on.
    { name: 'up', script: `${plan.up}\n`, env, timeoutMs, onCancel: 'end-group' },
  ]
}
