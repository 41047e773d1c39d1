import { type Context, throwIfCancelled } from '../context.ts'
import { Cancelled, describeError, Failure } from '../failure.ts'
import { askNameServers, type NameServer, type ProofPolicy, proveAtNameServers } from './name-servers.ts'
import type { PlannedChange } from './plan.ts'
import type { LiveProbe } from './preflight.ts'
import type { Provider, Zone } from './provider.ts'
import type { Endpoint } from './query.ts'
import { formatValues, type RecordSet } from './record.ts'
import { watchTail } from './tail.ts'
import { describeStanding, revertWrites, type StandingRecord, standingOf, type Write } from './writes.ts'

/** Three rounds. */
export const PROOF: ProofPolicy = { rounds: 3, intervalMs: 1_000, timeoutMs: 120_000 }

export interface FlipOptions {
  readonly provider: Provider
  readonly zone: Zone
  readonly steps: readonly PlannedChange[]
  readonly servers: readonly NameServer[]
  readonly resolvers: readonly Endpoint[]
  readonly probes: readonly LiveProbe[]
  /** How many names go first. */
  readonly canary: number
  readonly watchMs: number
  readonly onFailure: 'revert' | 'stop'
  /** Runs after the canary names are proven, and at the end. */
  readonly verify: ((names: readonly string[]) => Promise<void>) | undefined
  readonly afterFlip: ((names: readonly string[]) => Promise<void>) | undefined
  /** Told of each write before it is made. */
  readonly onWrite: (writes: readonly Write[]) => void
}

export interface FlipResult {
  readonly records: readonly StandingRecord[]
  /** Time from which no resolver that keeps to TTLs has the old values, milliseconds since 1970. */
  readonly safeFrom: number | undefined
  readonly unchecked: readonly string[]
  readonly failure: Failure | undefined
}

/** The record set that is to be there in the end. */
const nextOf = ({ change, current, verdict }: PlannedChange): RecordSet =>
  verdict === 'done' ? current : { ...current, values: change.to, ttl: change.ttl ?? current.ttl }

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
export async function flip(options: FlipOptions, context: Context): Promise<FlipResult> {
  const writes: Write[] = []
  const names = [...new Set(options.steps.map(({ change }) => change.name))]
  const canary = names.slice(0, options.canary)
  const rest = names.slice(options.canary)
  let provenAt: number | undefined
  let unchecked: readonly string[] = []
  try {
    for (const [title, wave] of [
      ['canary', canary],
      ['rest', rest],
    ] as const) {
      if (wave.length === 0) continue
      context.log.info(`${title}: ${wave.join(', ')}`)
      const proof = await flipWave(options, wave, writes, context)
      provenAt = proof.at
      unchecked = proof.unchecked
      const goesAhead = wave === canary || canary.length === 0
      if (goesAhead && options.verify) await options.verify(wave)
    }
    await watchTail(
      { ...options, expected: options.steps.map(nextOf), oldTtl: longestTtl(options.steps) },
      context,
    )
    if (options.afterFlip) await options.afterFlip(names)
  } catch (error) {
    // The settle step takes over.
    if (error instanceof Cancelled || !(error instanceof Failure)) throw error
    return { ...(await goBack(options, writes, error, context)), safeFrom: undefined, unchecked }
  }
  const written = writes.map((write) => ({ write, standing: 'new' as const }))
  const safeFrom = provenAt === undefined ? undefined : provenAt + longestTtl(options.steps) * 1_000
  return { records: written, safeFrom, unchecked, failure: undefined }
}

const longestTtl = (steps: readonly PlannedChange[]) =>
  Math.max(0, ...steps.map(({ current }) => current.ttl))

async function flipWave(
  { steps, provider, zone, servers, onWrite }: FlipOptions,
  names: readonly string[],
  writes: Write[],
  context: Context,
) {
  const wave = steps.filter(({ change }) => names.includes(change.name))
  for (const step of wave) {
    const write = { before: step.current, after: nextOf(step) }
    const { name, type, values } = write.after
    if (step.verdict === 'done') {
      context.log.info(`${name} ${type}: is ${formatValues(values)} already`)
      continue
    }
    throwIfCancelled(context.signal)
    onWrite([...writes, write])
    writes.push(write)
    // A request broken off by a cancel may still be carried out, after the settle step has looked: it has its end.
    const uncut = { ...context, signal: new AbortController().signal }
    await provider.writeRecordSet(zone, write.before, write.after, uncut)
    context.log.info(`${name} ${type}: ${formatValues(write.before.values)} -> ${formatValues(values)}`)
  }
  const proof = await proveAtNameServers(servers, wave.map(nextOf), PROOF, context)
  context.log.info(`every name server answers with the new values (${proof.rounds} rounds)`)
  for (const address of proof.unchecked)
    context.log.warn(`unchecked, this machine has no route there: ${address}`)
  return proof
}

async function goBack(
  { provider, zone, servers, onFailure }: FlipOptions,
  writes: readonly Write[],
  failure: Failure,
  context: Context,
): Promise<{ records: StandingRecord[]; failure: Failure }> {
  context.log.info(`failed: ${failure.message}`)
  const records =
    onFailure === 'revert'
      ? await revertWrites(provider, zone, writes, context)
      : await standingOf(provider, zone, writes, context)
  const back = records.filter(({ standing }) => standing === 'reverted').map(({ write }) => write.before)
  const lines = records.map(describeStanding)
  if (back.length > 0) lines.push(await provenBack(servers, back, context))
  return {
    records,
    failure: new Failure(failure.message, {
      ...failure.details,
      cause: failure,
      state: lines.length === 0 ? 'nothing was changed.' : `\n  ${lines.join('\n  ')}`,
      hint:
        failure.details.hint ?? 'put right what is named above, then run the job again: it goes on from here',
    }),
  }
}

/** Whether the name servers say the old values again, as a line. */
export async function provenBack(
  servers: readonly NameServer[],
  sets: readonly RecordSet[],
  context: Context,
): Promise<string> {
  try {
    await proveAtNameServers(servers, sets, PROOF, context)
    return 'every name server answers with the old values again'
  } catch (error) {
    if (error instanceof Cancelled) throw error
    return `not every name server answers with the old values yet: ${describeError(error).replaceAll('\n', ' ')}`
  }
}
