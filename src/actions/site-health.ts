import { type Context, prefixedLog } from '../context.ts'
import { Failure } from '../failure.ts'
import { expandUrl } from '../health/check.ts'
import { describeAnswer, type Probe, pollHealth } from '../health/poll.ts'
import { onEach } from '../release/deployment.ts'
import type { SiteHost } from '../release/site-host.ts'
import { type Credentials, connect } from '../ssh/connect.ts'
import type { HealthInputs } from './health-inputs.ts'

/** Inputs of the health check that need a shell on the server of the site. */
export function healthNeeds({ check, from }: HealthInputs): string[] {
  return check?.kind === 'command' && from === 'node' ? ['health-command'] : []
}

/** Throws where a login that has only SFTP may not ask from its server either: that shows before, not afterwards. */
export async function checkVantage(hosts: readonly SiteHost[], { check, from }: HealthInputs): Promise<void> {
  if (check === undefined || check.kind === 'command' || from !== 'node') return
  await onEach(hosts, async ({ connection, hasShell, name }) => {
    if (hasShell) return
    const url =
      check.kind === 'http' ? new URL(expandUrl(check.url, { name: connection.target.host })) : undefined
    const port =
      check.kind === 'tcp' ? check.port : Number(url?.port || (url?.protocol === 'https:' ? 443 : 80))
    if (!(await connection.refusesTcp(url?.hostname ?? '127.0.0.1', port))) return
    throw new Failure(
      'the server forwards no connections for this user, so its health cannot be asked there',
      {
        host: name,
        seen: 'administratively prohibited (AllowTcpForwarding or PermitOpen in the sshd_config)',
        state: 'nothing was activated.',
        hint: 'set `health-from: runner`, or allow it there',
      },
    )
  })
}

/** The health check of a site after its activation; undefined where none is asked for. */
export function siteHealthCheck(
  { check, policy, from }: HealthInputs,
  credentials: Credentials,
  { target, release }: { target: string; release: string },
): ((host: SiteHost, context: Context) => Promise<void>) | undefined {
  if (check === undefined) return undefined
  return async (host, context) => {
    // Loaded only where it is needed: the HTTP client in it takes as long to load as all the rest.
    const { makeProbe } = await import('../health/probe.ts')
    const here = { ...context, log: prefixedLog(context.log, host.name) }
    const other = typeof from === 'string' ? undefined : await connect(from, credentials, context)
    try {
      const vantage = other ?? (from === 'runner' ? 'runner' : host.connection)
      const probe = makeProbe(check, vantage, {
        placeholders: { name: host.connection.target.host },
        tcpHost: from === 'node' ? '127.0.0.1' : host.connection.target.host,
        env: { EVENKEEL_RELEASE: release },
        cwd: target,
      })
      const asked: Probe = (signal) => {
        if (vantage === 'runner' || vantage.isOpen) return probe(signal)
        throw new Failure('the connection broke while the health was asked', {
          host: vantage.name,
          hint: 'run the job again: it looks at the state of the server first',
        })
      }
      const { healthy, last, attempts } = await pollHealth(asked, policy, here)
      if (healthy) return
      throw new Failure(`release ${release} is not healthy after ${attempts} probes`, {
        host: host.name,
        seen: describeAnswer(last),
        hint: 'look at what was served meanwhile: the log of the web server, and the files of that release',
      })
    } finally {
      other?.close()
    }
  }
}
