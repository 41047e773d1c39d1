import { upToZone, wildcardsAbove } from './domain-name.ts'
import {
  formatValues,
  isSameSet,
  parseValue,
  type RecordChange,
  type RecordSet,
  sameValues,
} from './record.ts'

/** What a run is to reach: the new values, or a lower TTL alone, so that a later flip is soon seen everywhere. */
export interface Aim {
  readonly phase: 'flip' | 'prepare'
  /** Seconds: `prepare` brings TTLs down to it, `flip` writes no record set whose TTL is above it. */
  readonly ttl: number | undefined
}

/** `write`: it is not yet what it is to be; `done`: it is already. */
export type Verdict = 'write' | 'done'

export interface PlannedChange {
  readonly change: RecordChange
  /** What is there now. */
  readonly current: RecordSet
  /** What is to be there after this run. */
  readonly next: RecordSet
  readonly verdict: Verdict
}

export interface PlanProblem {
  readonly name: string
  readonly type: string
  /** What is wrong, to complete "<name> <type> ...". */
  readonly what: string
  readonly current: RecordSet | undefined
  readonly change: RecordChange
}

export interface Plan {
  /** In the order of the input. */
  readonly steps: readonly PlannedChange[]
  /** Nothing is written while there are any. */
  readonly problems: readonly PlanProblem[]
}

/** What was read: the record sets by name, those of wildcards among them (`*.example.com`). */
export type Observed = ReadonlyMap<string, readonly RecordSet[]>

/** Decides for each change whether it is to be written, is done, or must not be touched. */
export function makePlan(
  changes: readonly RecordChange[],
  observed: Observed,
  zone: string,
  aim: Aim = { phase: 'flip', ttl: undefined },
): Plan {
  const steps: PlannedChange[] = []
  const problems: PlanProblem[] = []
  for (const change of changes) {
    const sets = observed.get(change.name) ?? []
    const current = sets.find(({ type }) => type === change.type)
    const found =
      problemOf(change, current, sets, changes, observed, zone) ?? (current && slowness(change, current, aim))
    if (found !== undefined) {
      problems.push({ name: change.name, type: change.type, what: found, current, change })
    } else if (current !== undefined) {
      const next = nextOf(change, current, aim)
      steps.push({ change, current, next, verdict: isSameSet(current, next) ? 'done' : 'write' })
    }
  }
  return { steps, problems }
}

const hasNewValues = (change: RecordChange, current: RecordSet) => sameValues(current.values, change.to)

/** Values in another order are the same set: what is there stays. */
function nextOf(change: RecordChange, current: RecordSet, { phase, ttl }: Aim): RecordSet {
  if (phase === 'flip') {
    const values = hasNewValues(change, current) ? current.values : change.to
    return { ...current, values, ttl: change.ttl ?? current.ttl }
  }
  // What stays needs no shorter TTL; a proxied one is the provider's own.
  const stays = current.proxied === true || sameValues(change.from, change.to)
  return stays ? current : { ...current, ttl: Math.min(current.ttl, ttl ?? current.ttl) }
}

/** A TTL for which resolvers would keep the old values, where a lower one was asked for. */
function slowness(change: RecordChange, current: RecordSet, { phase, ttl }: Aim): string | undefined {
  if (phase !== 'flip' || ttl === undefined || current.proxied === true) return undefined
  if (hasNewValues(change, current) || current.ttl <= ttl) return undefined
  return `has a TTL of ${current.ttl} s, above \`ttl\` (${ttl} s), for which resolvers would keep the old values: run \`phase: prepare\` first, and give its output \`snapshot\` as \`prepared\``
}

function problemOf(
  change: RecordChange,
  current: RecordSet | undefined,
  sets: readonly RecordSet[],
  changes: readonly RecordChange[],
  observed: Observed,
  zone: string,
): string | undefined {
  const cut = upToZone(change.name, zone).find((name) =>
    observed.get(name)?.some(({ type }) => type === 'NS'),
  )
  if (cut !== undefined)
    return `is not this zone's to say: ${cut} is delegated to name servers of its own, change it there`
  if (current === undefined) return absence(change, sets, observed, zone)
  if (current.obstacle !== undefined) return `${current.obstacle}: it is left alone`
  const extra = sets.find(({ type }) => type === 'ALIAS' || type === 'ANAME' || type === 'LUA')
  if (extra)
    return `has a record of type ${extra.type} beside it (${formatValues(extra.values)}), which is not changed`
  if (!sameValues(current.values, change.from) && !hasNewValues(change, current))
    return difference(change, current)
  return leftBehind(change, sets, changes)
}

/** Why there is no record set of that type to be changed. */
function absence(
  { name, type }: RecordChange,
  sets: readonly RecordSet[],
  observed: Observed,
  zone: string,
): string {
  const alias = sets.find((set) => ['CNAME', 'ALIAS', 'ANAME', 'LUA'].includes(set.type))
  if (alias?.type === 'CNAME') {
    return `is not there: the name is a CNAME to ${formatValues(alias.values)}; change that name instead, or the CNAME`
  }
  if (alias) return `is not there: the name has a record of type ${alias.type}, which is not changed`
  const other = sets.filter((set) => ['A', 'AAAA'].includes(set.type))
  if (other.length > 0) return `is not there: the name has ${other.map((set) => set.type).join(' and ')} only`
  if (sets.length === 0) {
    const wildcard = wildcardsAbove(name, zone).find((one) => (observed.get(one) ?? []).length > 0)
    if (wildcard)
      return `is not there: answers for it come from ${wildcard}; make a record of its own with the old value first`
  }
  return `is not there: records are changed, never made; is '${name}' the right name, and ${type} its type?`
}

function difference({ from, to }: RecordChange, current: RecordSet): string {
  const missing = from.filter((value) => !current.values.includes(value))
  const more = current.values.filter((value) => !from.includes(value))
  const why =
    missing.length === 0
      ? `has more values than expected (${formatValues(more)}): name all of them`
      : 'was changed by somebody else, or `records` is wrong'
  return `is ${formatValues(current.values)}, neither the old (${formatValues(from)}) nor the new (${formatValues(to)}): it ${why}`
}

/** Records that would go on leading some clients to the old machine. */
function leftBehind(
  { name, type, from, to }: RecordChange,
  sets: readonly RecordSet[],
  changes: readonly RecordChange[],
): string | undefined {
  if (type === 'CNAME') return undefined
  const v6 = sets.find((set) => set.type === 'AAAA')
  if (v6 && !changes.some((change) => change.name === name && change.type === 'AAAA')) {
    const values = v6.values.join(',')
    return `leaves AAAA ${formatValues(v6.values)} behind, by which IPv6 clients stay where they are: add a line '${name}. AAAA ${values} -> <new>' (or '-> ${values}' if it leads to the new machine already)`
  }
  const old = from.filter((value) => !to.includes(value))
  const hints = sets
    .filter((set) => set.type === 'HTTPS' || set.type === 'SVCB')
    .flatMap((set) => set.values.filter((value) => old.some((address) => hintsAt(value, address))))
  if (hints[0])
    return `leaves an HTTPS record with the old address as hint behind (${hints[0]}): take the hint out first`
  return undefined
}

/** Whether an HTTPS record in presentation form (RFC 9460, sections 2.1 and 7.3) carries an address as a hint. */
function hintsAt(record: string, address: string): boolean {
  return [...record.matchAll(/ipv([46])hint="?([^"\s]+)/gi)].some(([, family, list = '']) =>
    list.split(',').some((hint) => parseValue(family === '4' ? 'A' : 'AAAA', hint) === address),
  )
}
