import { Resolver } from 'node:dns/promises'
import type { Context } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { describeError, Failure } from '../failure.ts'
import { isWithin } from './domain-name.ts'
import type { Provider, Zone } from './provider.ts'
import { askServer, DnsQueryError, type Endpoint, formatEndpoint } from './query.ts'
import { formatValues, isRecordType, type RecordSet, sameValues } from './record.ts'

/** A name server with its addresses. */
export interface NameServer {
  readonly name: string
  readonly addresses: readonly Endpoint[]
}

/**
 * The name servers that the zone is delegated to, which must be its provider's; addresses from the zone or from a
 * resolver.
 */
export async function zoneNameServers(
  provider: Provider,
  zone: Zone,
  resolvers: readonly Endpoint[],
  context: Context,
): Promise<NameServer[]> {
  const resolver = resolverOf(resolvers)
  const names = await delegatedTo(provider, zone, resolver, context)
  return await Promise.all(
    names.map(async (name) => {
      const own = isWithin(name, zone.name) ? await provider.readRecordSets(zone, [name], context) : []
      const given = own.filter(({ type }) => type === 'A' || type === 'AAAA').flatMap(({ values }) => values)
      const found = given.length > 0 ? given : await addressesOf(name, resolver)
      return { name, addresses: found.map((ip) => ({ ip, port: 53 })) }
    }),
  )
}

/** Asks these resolvers; the system's where there are none. */
export function resolverOf(resolvers: readonly Endpoint[]): Resolver {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 })
  if (resolvers.length > 0)
    resolver.setServers(resolvers.map(({ ip, port }) => `${ip.includes(':') ? `[${ip}]` : ip}:${port}`))
  return resolver
}

/** A zone that is kept at a provider but served by another one would be flipped for nobody. */
async function delegatedTo(
  provider: Provider,
  zone: Zone,
  resolver: Resolver,
  context: Context,
): Promise<string[]> {
  const plain = (name: string) => name.toLowerCase().replace(/\.$/, '')
  const own = (zone.nameServers ?? (await nsRecords(provider, zone, context))).map(plain)
  let delegated: string[]
  try {
    delegated = (await resolver.resolveNs(zone.name)).map(plain).sort()
  } catch (error) {
    throw new Failure(`the name servers that ${zone.name} is delegated to could not be found out`, {
      seen: `${describeError(error)} (asked ${resolver.getServers().join(', ') || 'no resolver'})`,
      state: 'nothing was changed.',
      hint: 'a zone that the world does not know, or a runner without DNS: name the servers in `nameservers` (<ip> or <ip>:<port>, a line each), or working `resolvers`',
    })
  }
  if (own.length === 0 || delegated.some((name) => own.includes(name))) return delegated
  throw new Failure(`${zone.name} is not delegated to this provider`, {
    seen: `the world asks ${delegated.join(', ')}; ${provider.name} has ${own.join(', ')}`,
    state: 'nothing was changed.',
    hint: 'flip the records where the zone is served from; if you know better, name the servers in `nameservers`',
  })
}

async function nsRecords(provider: Provider, zone: Zone, context: Context): Promise<readonly string[]> {
  const sets = await provider.readRecordSets(zone, [zone.name], context)
  return sets.find(({ type }) => type === 'NS')?.values ?? []
}

/** None where the name has none, or the resolver does not answer. */
export async function addressesOf(name: string, resolver: Resolver): Promise<string[]> {
  const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  return found.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
}

/** What the name servers said in one round. */
export interface Round {
  /** Every name server agrees, each by one address at least. */
  readonly agreed: boolean
  /** What did not agree, a line each. */
  readonly differences: readonly string[]
  /** Addresses that this machine has no route to. */
  readonly unchecked: readonly string[]
}

/** Asks every address of every name server once for each record set. */
export async function askNameServers(
  servers: readonly NameServer[],
  expected: readonly RecordSet[],
  context: Context,
): Promise<Round> {
  const unchecked: string[] = []
  const perServer = await Promise.all(
    servers.map(async ({ name, addresses }) => {
      const answers = await Promise.all(addresses.map((address) => differencesAt(address, expected, context)))
      const checked = answers.filter((one) => one !== undefined)
      for (const [index, address] of addresses.entries()) {
        if (answers[index] === undefined) unchecked.push(formatEndpoint(address))
      }
      if (checked.length === 0) return [`${name}: it has no address that this machine has a route to`]
      return checked.flat().map((difference) => `${name}: ${difference}`)
    }),
  )
  const differences = [...new Set(perServer.flat())]
  return { agreed: differences.length === 0 && servers.length > 0, differences, unchecked }
}

/** `EINVAL`: a link-local address, which means nothing without its link. */
const NO_ROUTE = ['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL']

/** Undefined when there is no route to that address (IPv6 from many runners). */
async function differencesAt(
  address: Endpoint,
  expected: readonly RecordSet[],
  context: Context,
): Promise<string[] | undefined> {
  const differences: string[] = []
  for (const set of expected) {
    try {
      const difference = await differenceAt(address, set, context)
      if (difference !== undefined) differences.push(`${formatEndpoint(address)} ${difference}`)
    } catch (error) {
      if (!(error instanceof DnsQueryError)) throw error
      if (NO_ROUTE.includes(error.code)) return undefined
      return [describeError(error)]
    }
  }
  return differences
}

async function differenceAt(
  address: Endpoint,
  { name, type, values, ttl, proxied }: RecordSet,
  context: Context,
): Promise<string | undefined> {
  if (!isRecordType(type)) throw new TypeError(`${type} is not proven`)
  // A proxied name has addresses of the provider's own, whatever its record says.
  const answer = await askServer(address, { name, type: proxied ? 'A' : type }, context)
  if (answer.rcode !== 'NOERROR') return `answers ${answer.rcode} for ${name} ${type}`
  if (!answer.authoritative) return `does not answer ${name} by its own authority`
  if (proxied) return answer.values.length > 0 ? undefined : `has no address for ${name}, which is proxied`
  if (!sameValues(answer.values, values))
    return `has ${name} ${type} ${formatValues(answer.values)}, not ${formatValues(values)}`
  return answer.ttl === ttl ? undefined : `has ${name} ${type} with TTL ${answer.ttl}, not ${ttl}`
}

export interface ProofPolicy {
  /** Rounds in a row in which all agree: one answer of a server with several backends proves nothing. */
  readonly rounds: number
  /** Longest pause between two rounds. */
  readonly intervalMs: number
  readonly timeoutMs: number
}

/** A log that stands still looks like a run that hangs. */
const REMINDER_MS = 30_000

/** Five rounds; long enough where a change is told to the secondaries (NOTIFY). */
export const PROOF: ProofPolicy = { rounds: 5, intervalMs: 1_000, timeoutMs: 120_000 }

const SHORTEST_PAUSE_MS = 25

/**
 * The pause before the next round, in ms. Before all agree it is a tenth of the time waited: no change is seen much
 * later than it comes. From then on it depends on how long it took until they agreed: the rounds that confirm it take
 * a quarter of that time together, since where changes travel slowly, stragglers come late.
 */
export function pauseInProof(
  policy: ProofPolicy,
  waitedMs: number,
  agreedAfterMs: number | undefined,
): number {
  const wanted = agreedAfterMs === undefined ? waitedMs / 10 : agreedAfterMs / 4 / (policy.rounds - 1)
  return Math.min(policy.intervalMs, Math.max(SHORTEST_PAUSE_MS, wanted))
}

export interface Proof {
  /** Time at which the last name server had changed at the latest, milliseconds since 1970. */
  readonly at: number
  readonly rounds: number
  readonly unchecked: readonly string[]
}

/** Waits until every name server answers with the record sets, several rounds in a row. */
export async function proveAtNameServers(
  servers: readonly NameServer[],
  expected: readonly RecordSet[],
  policy: ProofPolicy,
  context: Context,
): Promise<Proof> {
  const { clock, log, signal } = context
  const start = clock.monotonic()
  let inARow = 0
  let since = clock.now()
  let agreedAfter: number | undefined
  let shown = ''
  let next = REMINDER_MS
  for (let rounds = 1; ; rounds++) {
    const round = await askNameServers(servers, expected, context)
    const waited = clock.monotonic() - start
    if (inARow === 0) since = clock.now()
    inARow = round.agreed ? inARow + 1 : 0
    if (inARow >= policy.rounds) return { at: since, rounds, unchecked: round.unchecked }
    agreedAfter = round.agreed ? (agreedAfter ?? waited) : undefined
    const text = round.differences.join('; ')
    if (text !== '' && text !== shown) log.info(`waiting for the name servers: ${text}`)
    else if (text !== '' && waited >= next)
      log.info(`still waiting for the name servers, ${formatDuration(waited)} by now: ${text}`)
    while (next <= waited) next += REMINDER_MS
    shown = text
    if (waited >= policy.timeoutMs) {
      throw new Failure(`the name servers did not agree within ${policy.timeoutMs / 1_000} s`, {
        seen: text,
        hint: 'a secondary may not get its updates (NOTIFY, zone transfers): look at the log of the one named above',
      })
    }
    await clock.sleep(pauseInProof(policy, waited, agreedAfter), signal)
  }
}
