import type { Context } from '../../context.ts'
import { upToZone, wildcardsAbove } from '../../dns/domain-name.ts'
import { checkNameServers } from '../../dns/flip.ts'
import { type NameServer, type ProofPolicy, zoneNameServers } from '../../dns/name-servers.ts'
import { makePlan, type Observed, type Plan } from '../../dns/plan.ts'
import { type LiveProbe, liveProbes, preflight } from '../../dns/preflight.ts'
import { proofPolicy } from '../../dns/proof-time.ts'
import type { Provider, Zone } from '../../dns/provider.ts'
import { formatEndpoint } from '../../dns/query.ts'
import type { RecordSet } from '../../dns/record.ts'
import { Cancelled, Failure } from '../../failure.ts'
import type { DnsFlipInputs } from './inputs.ts'
import { providerOf } from './provider.ts'
import { logPlan, planFailure, summarizePlan } from './report.ts'

export interface Survey {
  readonly provider: Provider
  readonly zone: Zone
  readonly plan: Plan
  readonly servers: readonly NameServer[]
  readonly proof: ProofPolicy
  /** Of the new machines. */
  readonly probes: readonly LiveProbe[]
}

/** Everything that is read and tried before the first write. */
export async function survey(inputs: DnsFlipInputs, context: Context): Promise<Survey> {
  try {
    const provider = providerOf(inputs)
    const zone = await provider.findZone(inputs.zone, context)
    const aim = { phase: inputs.phase, ttl: inputs.ttl }
    const plan = makePlan(inputs.changes, await observe(provider, zone, inputs, context), zone.name, aim)
    logPlan(plan, context.log)
    if (inputs.dryRun || plan.problems.length > 0) await summarizePlan(plan, zone.name)
    if (plan.problems.length > 0) throw planFailure(plan)
    refuseTooEarly(inputs, context)
    const due = plan.steps.filter(({ verdict }) => verdict === 'write').map(({ current }) => current)
    await provider.checkWritable?.(zone, due, context)
    const servers = await nameServers(provider, zone, inputs, context)
    await checkNameServers(servers, plan.steps, context)
    const proof = await proofPolicy(servers, zone.name, context)
    return { provider, zone, plan, servers, proof, probes: await newMachines(inputs, context) }
  } catch (error) {
    if (!(error instanceof Failure) || error instanceof Cancelled) throw error
    throw new Failure(error.message, { state: 'nothing was changed.', ...error.details, cause: error })
  }
}

/** Before then, resolvers keep old values for as long as the TTL said that `prepare` has lowered. */
function refuseTooEarly({ phase, prepared }: DnsFlipInputs, { clock }: Context): void {
  const safeFrom = phase === 'flip' ? prepared?.safeFrom : undefined
  if (safeFrom === undefined || clock.now() >= safeFrom) return
  const [now, then] = [clock.now(), safeFrom].map((time) => new Date(time).toISOString())
  throw new Failure('it is too early to flip: resolvers may still keep the TTL from before', {
    seen: `it is ${now}; a flip is safe from ${then}`,
    hint: `run the job again at ${then} or later`,
  })
}

/** The new machine need not be there yet while TTLs are lowered. */
async function newMachines({ phase, check, changes }: DnsFlipInputs, context: Context): Promise<LiveProbe[]> {
  if (phase === 'prepare') return []
  if (check === undefined) {
    context.log.warn('`verify-url` is empty: the new target is not tried before the flip')
    return []
  }
  return await preflight(await liveProbes(changes, check), context)
}

/** The record sets at each name and above it; where there are none, also those of wildcards that may answer for it. */
async function observe(
  provider: Provider,
  zone: Zone,
  { changes }: DnsFlipInputs,
  context: Context,
): Promise<Observed> {
  const observed = new Map<string, RecordSet[]>()
  const read = async (names: readonly string[]): Promise<void> => {
    const unread = [...new Set(names)].filter((name) => !observed.has(name))
    for (const name of unread) observed.set(name, [])
    if (unread.length === 0) return
    for (const set of await provider.readRecordSets(zone, unread, context)) observed.get(set.name)?.push(set)
  }
  const names = changes.map(({ name }) => name)
  await read(names.flatMap((name) => [name, ...upToZone(name, zone.name)]))
  const absent = names.filter((name) => observed.get(name)?.length === 0)
  await read(absent.flatMap((name) => wildcardsAbove(name, zone.name)))
  return observed
}

/** Those that are named, or the zone's own. */
export async function nameServers(
  provider: Provider,
  zone: Zone,
  inputs: DnsFlipInputs,
  context: Context,
): Promise<NameServer[]> {
  const given = inputs.nameServers.map((address) => ({ name: formatEndpoint(address), addresses: [address] }))
  return given.length > 0 ? given : await zoneNameServers(provider, zone, inputs.resolvers, context)
}
