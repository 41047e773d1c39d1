import type { DeployPlan } from '../../git/plan.ts'
import { type Probe, pollHealth } from '../../health/poll.ts'
import type { ProbeSubject } from '../../health/probe.ts'
import { connect } from '../../ssh/connect.ts'
import type { GitInputs } from './inputs.ts'

/** How the app on a server is asked for its health; undefined where nothing is to be checked. */
export function healthOf({ health, credentials, env }: GitInputs, release: string): DeployPlan['health'] {
  const { check, from, policy } = health
  if (check === undefined) return undefined
  return async (server, cwd, context) => {
    // Not before it is needed: an HTTP client takes longer to load than all the rest of the action.
    const { makeProbe } = await import('../../health/probe.ts')
    const elsewhere = typeof from === 'object' ? await connect(from, credentials, context) : undefined
    try {
      const subject: ProbeSubject = {
        placeholders: { name: server.target.host },
        tcpHost: from === 'node' ? '127.0.0.1' : server.target.host,
        env: { ...env, EVENKEEL_RELEASE: release },
        // The path is one of the deployed server, not of another that is asked from.
        ...(elsewhere === undefined ? { cwd } : {}),
      }
      const probe: Probe = async (signal) => {
        if (from === 'node') await server.ensureOpen(context)
        const vantage = elsewhere ?? (from === 'runner' ? 'runner' : server.connection)
        return await makeProbe(check, vantage, subject)(signal)
      }
      return await pollHealth(probe, policy, context)
    } finally {
      elsewhere?.close()
    }
  }
}
