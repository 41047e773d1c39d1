import { type Context, prefixedLog } from '../context.ts'
import { Failure } from '../failure.ts'
import { describeAnswer, pollHealth } from '../health/poll.ts'
import type { SiteHost } from '../release/site-host.ts'
import { type Credentials, connect } from '../ssh/connect.ts'
import type { HealthInputs } from './health-inputs.ts'

/** The health check of a site after its activation; undefined where none is asked for. */
export function siteHealthCheck(
  { check, policy, from }: HealthInputs,
  credentials: Credentials,
  { target, release }: { target: string; release: string },
): ((host: SiteHost, context: Context) => Promise<void>) | undefined {
  if (check === undefined) return undefined
  return async (host, context) => {
    // A file of its own beside the bundle: the HTTP client in it takes as long to load as all the rest.
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
      const { healthy, last, attempts } = await pollHealth(probe, policy, here)
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
