import { type Context, throwIfCancelled } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { describeAnswer } from '../health/poll.ts'
import { askNameServers, type NameServer } from './name-servers.ts'
import type { LiveProbe } from './preflight.ts'
import { askServer, type Endpoint, formatEndpoint } from './query.ts'
import { formatValues, isRecordType, type RecordSet, sameValues } from './record.ts'

export interface TailOptions {
  readonly servers: readonly NameServer[]
  /** What every name server must go on saying. */
  readonly expected: readonly RecordSet[]
  readonly probes: readonly LiveProbe[]
  /** Each must come to answer with the new values. */
  readonly resolvers: readonly Endpoint[]
  /** Seconds for which a resolver may keep the old values. */
  readonly oldTtl: number
  readonly watchMs: number
}

const INTERVAL_MS = 1_000
/** Failures in a row that are no hiccup. */
const LIMIT = 3
/** Good rounds of a resolver in a row, and questions in each: one with several backends answers old and new by turns. */
const ROUNDS = 3
const QUESTIONS = 5
const RESOLVER_GRACE_MS = 30_000

/** Keeps checking after the flip: machines, name servers, resolvers. Throws when one of them goes bad. */
export async function watchTail(options: TailOptions, context: Context): Promise<void> {
  const { clock, signal, log } = context
  const start = clock.monotonic()
  const resolverDeadline = options.oldTtl * 1_000 + RESOLVER_GRACE_MS
  const pending = new Map(options.resolvers.map((resolver) => [resolver, 0]))
  let badInARow = 0
  if (pending.size > 0)
    log.info(`waiting for ${options.resolvers.map(formatEndpoint).join(', ')} (old TTL ${options.oldTtl} s)`)
  if (options.watchMs > 0) log.info(`watching for ${options.watchMs / 1_000} s`)
  while (pending.size > 0 || clock.monotonic() - start < options.watchMs) {
    const bad = await checkOnce(options, context)
    badInARow = bad.length > 0 ? badInARow + 1 : 0
    if (bad.length > 0) log.info(`watching: ${bad.join('; ')}`)
    if (badInARow >= LIMIT)
      throw new Failure('what was flipped went bad while it was watched', { seen: bad.join('\n  ') })
    const stale: string[] = []
    for (const [resolver, good] of pending) {
      const difference = await differenceAt(resolver, options.expected, context)
      pending.set(resolver, difference === undefined ? good + 1 : 0)
      if (difference !== undefined) stale.push(difference)
      else if (good + 1 >= ROUNDS) pending.delete(resolver)
    }
    if (pending.size > 0 && clock.monotonic() - start > resolverDeadline) {
      throw new Failure('a resolver does not come to answer with the new values', {
        seen: stale.join('; '),
        hint: 'it may follow other name servers than `nameservers`, or keep answers for longer than their TTL',
      })
    }
    const waited = clock.monotonic() - start
    await clock.sleep(pauseInTail(options.watchMs, waited, bad.length > 0), signal)
  }
}

/** In ms. While only resolvers are waited for, often at first; but what failed gets its time to come back. */
function pauseInTail(watchMs: number, waitedMs: number, isBad: boolean): number {
  if (watchMs === 0 && isBad) return INTERVAL_MS
  return Math.min(INTERVAL_MS, Math.max(50, (watchMs === 0 ? waitedMs : watchMs) / 10))
}

async function checkOnce({ servers, expected, probes }: TailOptions, context: Context): Promise<string[]> {
  const [{ differences }, answers] = await Promise.all([
    askNameServers(servers, expected, context),
    Promise.all(probes.map(({ probe }) => probe(context.signal))),
  ])
  throwIfCancelled(context.signal)
  const unwell = probes.flatMap(({ url, address }, index) => {
    const answer = answers[index]
    return answer && !answer.ok ? [`${url} at ${address}: ${describeAnswer(answer)}`] : []
  })
  return [...differences, ...unwell]
}

async function differenceAt(
  resolver: Endpoint,
  expected: readonly RecordSet[],
  context: Context,
): Promise<string | undefined> {
  for (const { name, type, values, proxied } of expected) {
    if (!isRecordType(type) || proxied) continue
    try {
      // Each from a port of its own, by which a balancer chooses.
      const ask = () => askServer(resolver, { name, type, recurse: true }, context)
      const answers = await Promise.all(Array.from({ length: QUESTIONS }, ask))
      const old = answers.find((answer) => !sameValues(answer.values, values))
      if (old) return `${formatEndpoint(resolver)} has ${name} ${type} ${formatValues(old.values)}`
    } catch (error) {
      throwIfCancelled(context.signal)
      return describeError(error)
    }
  }
  return undefined
}
