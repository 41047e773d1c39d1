import { type Context, throwIfCancelled } from '../context.ts'
import { Failure } from '../failure.ts'
import { type GoingBack, goBack, type Outcome } from './go-back.ts'
import { askNameServers, type NameServer, type ProofPolicy, proveAtNameServers } from './name-servers.ts'
import type { PlannedChange } from './plan.ts'
import { edgeProbes, expectServing, type LiveProbe } from './preflight.ts'
import type { Endpoint } from './query.ts'
import { formatValues } from './record.ts'
import type { Prepared } from './snapshot.ts'
import { watchTail } from './tail.ts'
import { restoreTtls, staleness, ttlRestores } from './ttl.ts'
import { wavesOf } from './waves.ts'
import { describeWrite, makeWrite, type Write } from './writes.ts'

export interface FlipOptions extends GoingBack {
  readonly steps: readonly PlannedChange[]
  readonly resolvers: readonly Endpoint[]
  readonly probes: readonly LiveProbe[]
  readonly proof: ProofPolicy
  /** How many names go first. */
  readonly canary: number
  readonly watchMs: number
  /** What brought TTLs down ahead of this flip: they come back at its end. */
  readonly prepared: Prepared | undefined
  /** Runs after the canary names are proven, and at the end. */
  readonly verify: ((names: readonly string[]) => Promise<void>) | undefined
  readonly afterFlip: ((names: readonly string[]) => Promise<void>) | undefined
  /** Told of each write before it is made. */
  readonly onWrite: (writes: readonly Write[]) => void
  /** Told when the flip is complete and proven, before TTLs are brought back by these writes. */
  readonly onComplete: (ttls: readonly Write[]) => void
}

/**
 * Before anything is written, every name server must be asked and say what the provider's API says: otherwise it is
 * another zone that is served, and no write would be proven.
 */
export async function checkNameServers(
  servers: readonly NameServer[],
  steps: readonly PlannedChange[],
  context: Context,
): Promise<void> {
  const none = servers.length === 0 || servers.some(({ addresses }) => addresses.length === 0)
  const current = steps.map((step) => step.current)
  const asked = async () => await askNameServers(servers, current, context)
  let round = await asked()
  // A name server may still be on its way to what was written a moment ago.
  for (let attempt = 1; attempt < 4 && !round.agreed && !none; attempt++) {
    await context.clock.sleep(250 * 2 ** attempt, context.signal)
    round = await asked()
  }
  if (round.agreed && !none) return
  const unnamed = servers
    .filter(({ addresses }) => addresses.length === 0)
    .map(({ name }) => `${name} has no address`)
  throw new Failure("the zone's name servers do not say what its provider says", {
    seen: [...unnamed, ...round.differences].join('\n  ') || 'the zone has no NS records',
    state: 'nothing was changed.',
    hint: 'the zone may be delegated elsewhere, a secondary may lag, or a firewall may keep this runner out; name the servers to be asked in `nameservers` (<ip> or <ip>:<port>, a line each)',
  })
}

/** Writes, proves, verifies and watches; on failure goes back where that is asked for. Rejects only when cancelled. */
export async function flip(options: FlipOptions, context: Context): Promise<Outcome> {
  const { steps, prepared, verify, afterFlip } = options
  const writes: Write[] = []
  const names = [...new Set(steps.map(({ change }) => change.name))]
  const waves = wavesOf(names, options.canary)
  const edge = proxyProbes(options, context)
  const probes = [...options.probes, ...edge]
  let provenAt: number | undefined
  let unchecked: readonly string[] = []
  try {
    for (const [index, wave] of waves.entries()) {
      const title = index === 0 && waves.length > 1 ? 'canary' : `wave ${index + 1} of ${waves.length}`
      context.log.info(`${title}: ${wave.join(', ')}`)
      const proof = await flipWave(options, wave, writes, context)
      provenAt = proof.at
      unchecked = proof.unchecked
      const there = waves.slice(0, index + 1).flat()
      const leadsThere = ({ name }: LiveProbe) => there.includes(name)
      const served = async (proxyMs: number) => {
        await expectServing(options.probes.filter(leadsThere), MACHINE_MS, context)
        await expectServing(edge.filter(leadsThere), proxyMs, context)
      }
      await served(PROXY_MS)
      if (index > 0 || verify === undefined) continue
      await verify(wave)
      // Meanwhile the machine may have broken: no further name may follow there.
      await served(MACHINE_MS)
    }
    const expected = steps.map(({ next }) => next)
    await watchTail({ ...options, probes, expected, oldTtl: longestStaleness(steps) }, context)
    if (afterFlip) await afterFlip(names)
  } catch (error) {
    // After a cancel, the settle step takes over.
    throwIfCancelled(context.signal)
    if (!(error instanceof Failure)) throw error
    const outcome = { ...(await goBack(options, writes, error, context)), unchecked }
    if (prepared)
      context.log.info(`TTLs stay at ${prepared.ttl} s: a later run with \`prepared\` need not wait`)
    return outcome
  }
  return {
    records: writes.map((write) => ({ write, standing: 'new' })),
    safeFrom: provenAt === undefined ? undefined : provenAt + longestStaleness(steps) * 1_000,
    unchecked,
    failure: await bringTtlsBack(options, context),
  }
}

/** For a new machine to get over the first load, and for a provider's proxy to find it. */
const MACHINE_MS = 5_000
const PROXY_MS = 30_000

/** Names that their provider answers for are not seen in DNS: they are tried the way that clients take. */
function proxyProbes({ steps, check, resolvers }: FlipOptions, { log }: Context): LiveProbe[] {
  const names = steps.flatMap(({ current }) => (current.proxied ? [current.name] : []))
  if (names.length === 0) return []
  if (check === undefined)
    log.warn(`proxied, and without \`verify-url\` only read back: ${[...new Set(names)].join(', ')}`)
  return check === undefined ? [] : edgeProbes(names, check, resolvers)
}

const longestStaleness = (steps: readonly PlannedChange[]) =>
  Math.max(0, ...steps.map(({ current }) => staleness(current)))

/** The flip is complete whatever comes of this. */
async function bringTtlsBack(options: FlipOptions, context: Context): Promise<Failure | undefined> {
  const restores = ttlRestores(options.steps, options.prepared)
  if (restores.length === 0) return undefined
  options.onComplete(restores)
  try {
    await restoreTtls(restores, options, context)
    return undefined
  } catch (error) {
    throwIfCancelled(context.signal)
    if (error instanceof Failure) return error
    throw error
  }
}

async function flipWave(
  { steps, provider, zone, servers, proof: policy, onWrite }: FlipOptions,
  names: readonly string[],
  writes: Write[],
  context: Context,
) {
  const wave = steps.filter(({ change }) => names.includes(change.name))
  for (const { current, next, verdict } of wave) {
    const write = { before: current, after: next }
    if (verdict === 'done') {
      context.log.info(`${next.name} ${next.type}: is ${formatValues(next.values)} already`)
      continue
    }
    throwIfCancelled(context.signal)
    writes.push(write)
    onWrite(writes)
    await makeWrite(provider, zone, write, context)
    context.log.info(describeWrite(write))
  }
  const expected = wave.map(({ next }) => next)
  const proof = await proveAtNameServers(servers, expected, policy, context)
  context.log.info(`every name server answers with the new values (${proof.rounds} rounds)`)
  for (const address of proof.unchecked)
    context.log.warn(`unchecked, this machine has no route there: ${address}`)
  return proof
}
