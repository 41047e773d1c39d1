import { type Context, prefixedLog } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { fromByteString } from '../ssh/byte-string.ts'
import type { Ending, SiteHost } from './site-host.ts'
import { releaseOf } from './site-state.ts'

export interface Activation {
  readonly release: string
  /** Remote commands; '' for none. */
  readonly beforeActivate: string
  readonly afterActivate: string
  readonly target: string
  /** Rejects when the site on this host is not well. */
  readonly checkHealth: ((host: SiteHost, context: Context) => Promise<void>) | undefined
  /** Whether this release replaces the one before it, rather than being an old one that comes back. */
  readonly isNew: boolean
  /** What staging has done of it already, on the only host. */
  readonly done: Ending
  /** Releases to keep; undefined where none are removed. */
  readonly keep: number | undefined
}

/** Runs work on all hosts at once and waits for all of them, so that nothing is left running. Throws as `allOf` does. */
export async function onEach<H, T>(
  hosts: readonly H[],
  work: (host: H, index: number) => Promise<T>,
): Promise<T[]> {
  return allOf(await Promise.allSettled(hosts.map(work)))
}

/** What came of each host; throws one failure with all there were, each of which names its host. */
export function allOf<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  const errors = reasons(results)
  if (errors.length === 0) return results.map((one) => (one as PromiseFulfilledResult<T>).value)
  const [first] = errors
  if (errors.length === 1) throw first
  throw new Failure(`it failed on ${errors.length} of ${results.length} hosts`, {
    seen: errors.map((error) => `\n${describeError(error)}`).join(''),
    cause: first,
    unsettled: errors.some((error) => error instanceof Failure && error.details.unsettled === true),
  })
}

const reasons = (results: readonly PromiseSettledResult<unknown>[]) =>
  results.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))

/**
 * Activates a release that is complete on every host: on all of them, or on none. After a failure or a cancel every
 * host goes back to where it was.
 */
export async function activateOnAll(
  hosts: readonly SiteHost[],
  plan: Activation,
  context: Context,
): Promise<void> {
  if (plan.done.finish) return context.log.info(`release ${plan.release} is active on ${names(hosts)}`)
  const env = { EVENKEEL_RELEASE: plan.release }
  if (plan.beforeActivate !== '') {
    const inTarget = hosts[0]?.mode === 'in-place'
    if (!inTarget) await onEach(hosts, (host) => host.noteAltered(plan.release))
    const cwd = inTarget ? plan.target : `${plan.target}/releases/${plan.release}`
    await onEach(hosts, (host) => runHook(host, 'before-activate', plan.beforeActivate, cwd, env, context))
  }
  context.signal.throwIfAborted()
  try {
    const [only] = hosts
    if (only !== undefined && hosts.length === 1 && plan.afterActivate === '' && !plan.checkHealth) {
      await only.activateAndConfirm(plan.release, plan.isNew, plan.keep)
      context.log.info(`release ${plan.release} is active on ${only.name}`)
      return
    }
    if (!plan.done.activate) await onEach(hosts, (host) => host.activate(plan.release, plan.isNew))
    context.log.info(`release ${plan.release} is active on ${names(hosts)}`)
    if (plan.afterActivate !== '') {
      await onEach(hosts, (host) =>
        runHook(host, 'after-activate', plan.afterActivate, plan.target, env, context),
      )
    }
    const { checkHealth } = plan
    if (checkHealth !== undefined) await onEach(hosts, (host) => checkHealth(host, context))
    context.signal.throwIfAborted()
  } catch (error) {
    throw withOutcome(error, await returnAll(hosts, context))
  }
  await finishAll(hosts, plan)
}

/** Of several, those that have confirmed it cannot go back: what is left is for the settle step, which sees them all. */
async function finishAll(
  hosts: readonly SiteHost[],
  { release, keep, checkHealth }: Activation,
): Promise<void> {
  const results = await Promise.allSettled(hosts.map((host) => host.finish(release, keep)))
  const open = hosts.filter((_, index) => results[index]?.status === 'rejected')
  if (open.length === 0) return
  const found = checkHealth === undefined ? '' : ' and was found healthy'
  throw new Failure(`release ${release} could not be confirmed`, {
    host: names(open),
    seen: reasons(results).map(describeError).join('\n'),
    state: `the release is active${found} on ${names(hosts)}; on ${names(open)} it is not known to be confirmed: the settle step confirms it where another host has, and goes back otherwise.`,
    hint: 'see in the log of the settle step what is served now, then run the job again',
    unsettled: true,
  })
}

/**
 * How far staging may go in its last round trip: a lone host without a hook in between is activated at once, and
 * without anything to look at afterwards it is done.
 */
export function endingOf(
  hosts: number,
  plan: Pick<Activation, 'beforeActivate' | 'afterActivate' | 'keep'> & { hasCheck: boolean },
): Ending {
  const activate = hosts === 1 && plan.beforeActivate === ''
  return { activate, finish: activate && plan.afterActivate === '' && !plan.hasCheck, keep: plan.keep }
}

/** Where nothing was done yet. */
export const nothingDone: Ending = { activate: false, finish: false }

interface Return {
  /** Where each host stands now. */
  readonly state: string
  readonly complete: boolean
}

/** Takes every host back to where it was. */
async function returnAll(hosts: readonly SiteHost[], context: Context): Promise<Return> {
  const results = await Promise.allSettled(hosts.map((host) => host.goBack()))
  const states = results.map((result, index) => {
    const host = hosts[index]
    if (result.status === 'fulfilled') return `${host?.name} serves ${served(host?.current ?? '')}`
    context.log.warn(`${host?.name}: could not go back: ${describeError(result.reason)}`)
    return `${host?.name} could not be taken back and may serve the new release; the settle step tries again`
  })
  return { state: states.join('; '), complete: results.every(({ status }) => status === 'fulfilled') }
}

/** What a link `current` means to people. */
export function served(link: string): string {
  if (link === '') return 'nothing (there is no release before this one)'
  return `release ${releaseOf(link) ?? fromByteString(link)}`
}

/** A failure that also tells how things stand after it. */
export function withOutcome(error: unknown, { state, complete }: Return): unknown {
  if (!(error instanceof Failure)) return error
  const Kind = error.constructor as typeof Failure
  return new Kind(error.message, { ...error.details, state, unsettled: !complete })
}

async function runHook(
  host: SiteHost,
  name: string,
  command: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
  { log, signal }: Context,
): Promise<void> {
  const lines = prefixedLog(log, `${host.name} ${name}`)
  const result = await host.connection.script(command, { cwd, env, signal, onLine: lines.info })
  if (result.code === 0) return
  const output = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join('; ')
  throw new Failure(
    `the command of \`${name}\` ${result.signal === undefined ? `ended with exit code ${result.code}` : `was killed by ${result.signal}`}`,
    { host: host.name, seen: output, state: 'the site is as it was.', hint: 'see its output above' },
  )
}

function names(hosts: readonly SiteHost[]): string {
  return hosts.map(({ name }) => name).join(', ')
}
