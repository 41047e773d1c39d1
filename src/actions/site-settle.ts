import { randomBytes } from 'node:crypto'
import { type Context, systemClock } from '../context.ts'
import { allOf, served } from '../release/deployment.ts'
import { beginOn, openSite } from '../release/open-site.ts'
import { repair, reportMix } from '../release/recovery.ts'
import { ShellSite } from '../release/shell-site.ts'
import type { BeginOptions, SiteHost, SiteSettings } from '../release/site-host.ts'
import type { Run } from '../runner/action.ts'
import { type Credentials, connect } from '../ssh/connect.ts'
import { type OpeningBlock, SHELL_COMMAND } from '../ssh/remote-shell.ts'
import type { Target } from '../ssh/target.ts'

/** What main notes for the settle step. */
export interface SiteStepState {
  readonly token: string
}

export interface SiteStepInputs extends Pick<SiteSettings, 'target' | 'dryRun' | 'mode'> {
  readonly hosts: readonly Target[]
  readonly credentials: Credentials
}

/** How long to wait for what the killed step left running on a server. */
const LOCK_WAIT_MS = 10_000

/** What is known of a step before its hosts are reached. */
interface Outlook {
  /** What `begin` will be called with, if that is known by the time of the login. */
  readonly beginning: () => BeginOptions | undefined
  /** Whether a site is going to be sent: a way for it is opened, too. */
  readonly sends?: boolean
  readonly willSendMuch?: () => boolean
}

/** Connects to all hosts at once. On a failure those that were reached are closed again. */
export async function openHosts(
  hosts: readonly Target[],
  credentials: Credentials,
  settings: SiteSettings,
  context: Context,
  { beginning, sends = false, ...ahead }: Outlook,
): Promise<SiteHost[]> {
  const results = await Promise.allSettled(
    hosts.map(async (host) => {
      let opening: OpeningBlock | undefined
      const commands = () => {
        // Of several, none is touched before all have been reached.
        const options = hosts.length === 1 ? beginning() : undefined
        opening = options && ShellSite.opening(settings, options)
        return [opening?.command ?? SHELL_COMMAND, ...(sends ? [SHELL_COMMAND] : [])]
      }
      const connection = await connect(host, credentials, context, { ...ahead, commands })
      return openSite(connection, settings, context, opening)
    }),
  )
  const opened = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  if (opened.length < hosts.length) await Promise.all(opened.map((host) => host.close()))
  return allOf(results)
}

/** The settings of a step on a site, with a new token. */
export function siteSettings(
  run: Run,
  { target, dryRun, mode, needsShell }: Pick<SiteSettings, 'target' | 'dryRun' | 'mode' | 'needsShell'>,
): SiteSettings {
  const holder = run.github.runUrl || `a run by ${run.github.actor || 'hand'}`
  return { target, mode, holder, token: randomBytes(12).toString('hex'), dryRun, needsShell }
}

/** After a cancel or a kill: sweeps the lock of that step away, repairs a half-made activation, says what stands. */
export async function settleSite(run: Run, state: unknown, inputs: SiteStepInputs): Promise<void> {
  if (inputs.dryRun) return
  const { context } = run
  const { token } = state as SiteStepState
  const settings = siteSettings(run, { ...inputs, needsShell: [] })
  const options = { lockWaitMs: LOCK_WAIT_MS, own: token }
  const hosts = await openHosts(inputs.hosts, inputs.credentials, settings, context, {
    beginning: () => options,
  })
  try {
    const opened = await beginOn(hosts, options, context)
    await repair(
      hosts,
      opened.map((one) => one.state),
      context,
    )
    reportMix(hosts, context)
    for (const host of hosts) context.log.info(`${host.name} serves ${served(host.current)}`)
  } finally {
    await Promise.all(hosts.map((host) => host.close()))
  }
}

/** Unix time in seconds. */
export function unixTime(clock = systemClock): number {
  return Math.floor(clock.now() / 1000)
}
