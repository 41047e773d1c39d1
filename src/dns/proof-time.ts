import { type Context, throwIfCancelled } from '../context.ts'
import { type NameServer, PROOF, type ProofPolicy } from './name-servers.ts'
import { askServer } from './query.ts'

/** Nobody keeps a job waiting for longer than that; what comes later is a secondary that has to be looked at. */
const LONGEST_MS = 30 * 60_000

/**
 * How long to wait for the name servers of a zone: a secondary that no NOTIFY reaches asks its primary after the SOA's
 * refresh, and once more after its retry (RFC 1035, section 3.3.13).
 */
export async function proofPolicy(
  servers: readonly NameServer[],
  zone: string,
  context: Context,
): Promise<ProofPolicy> {
  const times = await Promise.all(
    servers.flatMap(({ addresses }) =>
      addresses.map(async (address) => {
        try {
          const { soa } = await askServer(address, { name: zone, type: 'SOA' }, context)
          return soa === undefined ? 0 : (soa.refresh + soa.retry) * 1_000
        } catch {
          throwIfCancelled(context.signal)
          return 0
        }
      }),
    ),
  )
  return { ...PROOF, timeoutMs: Math.min(LONGEST_MS, Math.max(PROOF.timeoutMs, ...times)) }
}
