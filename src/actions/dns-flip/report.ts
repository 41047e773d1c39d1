import type { Log } from '../../context.ts'
import type { Outcome } from '../../dns/go-back.ts'
import type { NameServer } from '../../dns/name-servers.ts'
import type { Plan, PlannedChange } from '../../dns/plan.ts'
import { formatEndpoint } from '../../dns/query.ts'
import { formatTtl, formatValues, type RecordChange, type RecordSet, sameValues } from '../../dns/record.ts'
import { describeStanding } from '../../dns/writes.ts'
import { Failure } from '../../failure.ts'
import { markdownTable, writeSummary } from '../../runner/summary.ts'

const HEADER = ['name', 'type', 'old', 'new', 'TTL', 'proxied', 'verdict']

/** A row per record set, those that are refused last. */
function planRows({ steps, problems }: Plan): string[][] {
  const row = ({ name, type, from, to }: RecordChange, current: RecordSet | undefined, rest: string[]) => [
    name,
    type,
    formatValues(from),
    formatValues(to),
    ...rest.slice(0, 1),
    current?.proxied ? 'yes' : 'no',
    ...rest.slice(1),
  ]
  return [
    ...steps.map((step) => row(step.change, step.current, [ttlOf(step), verdictOf(step)])),
    ...problems.map(({ change, current, what }) =>
      row(change, current, [current ? formatTtl(current) : '', `REFUSED: ${what}`]),
    ),
  ]
}

const ttlOf = ({ current, next }: PlannedChange) =>
  current.ttl === next.ttl ? formatTtl(current) : `${current.ttl} -> ${next.ttl}`

/** What is to become of a record set, or what it is already. */
function verdictOf({ change, current, next, verdict }: PlannedChange): string {
  if (!sameValues(current.values, next.values)) return 'to be written'
  if (verdict === 'write') return 'TTL to be written'
  return sameValues(current.values, change.to) ? 'is new already' : 'stays'
}

/** The plan as a table of text. */
export function logPlan(plan: Plan, log: Log): void {
  const rows = [HEADER, ...planRows(plan)]
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  for (const row of rows) {
    log.info(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
  }
}

export async function summarizePlan(plan: Plan, zone: string): Promise<void> {
  await writeSummary(`### DNS plan for ${zone}\n\n${markdownTable(HEADER, planRows(plan))}\n\n`)
}

function reportRow({ change: { name, type, from, to }, current: { ttl, proxied }, next }: PlannedChange) {
  return { name, type, old: from, new: to, ttl, newTtl: next.ttl, ...(proxied ? { proxied } : {}) }
}

/** The output `report` of a dry run. */
export function planReport({ steps }: Plan): unknown {
  return {
    dryRun: true,
    records: steps.map((step) => ({
      ...reportRow(step),
      outcome: verdictOf(step).replace('is new', 'new'),
    })),
  }
}

/** Why nothing is written. */
export function planFailure({ problems }: Plan): Failure {
  return new Failure(
    problems.length === 1 ? 'a record cannot be changed' : `${problems.length} records cannot be changed`,
    {
      seen: problems.map(({ name, type, what }) => `\n  - ${name} ${type} ${what}`).join(''),
      state: 'nothing was changed.',
      hint: 'correct `records` (or limit `names`), or the zone, then run the job again',
    },
  )
}

/** What became of each record set, in words. */
function outcomes(plan: Plan, result: Outcome): { name: string; type: string; outcome: string }[] {
  return plan.steps.map((step) => {
    const { name, type } = step.change
    const record = result.records.find(({ write: { after } }) => after.name === name && after.type === type)
    const idle = step.verdict === 'done' ? verdictOf(step).replace('is new', 'new') : 'not written'
    return {
      name,
      type,
      outcome: record === undefined ? idle : record.standing === 'new' ? 'written' : record.standing,
    }
  })
}

/** The output `report`. */
export function reportOf(plan: Plan, result: Outcome, servers: readonly NameServer[]): unknown {
  const states = outcomes(plan, result)
  return {
    records: plan.steps.map((step, index) => ({ ...reportRow(step), outcome: states[index]?.outcome })),
    nameServers: servers.map(({ name, addresses }) => ({ name, addresses: addresses.map(formatEndpoint) })),
    unchecked: result.unchecked,
    ...(result.failure ? { failure: result.failure.message } : {}),
  }
}

export async function summarizeFlip(
  plan: Plan,
  result: Outcome,
  zone: string,
  phase: 'flip' | 'prepare',
): Promise<void> {
  const states = outcomes(plan, result)
  const rows = plan.steps.flatMap((step, index) => {
    const { name, type, from, to } = step.change
    if (sameValues(from, to)) return []
    return [[name, type, formatValues(from), formatValues(to), ttlOf(step), states[index]?.outcome ?? '']]
  })
  const what = phase === 'flip' ? 'DNS flip of' : 'TTLs lowered in'
  const title = result.failure ? `${what} ${zone} failed` : `${what} ${zone}`
  const standing = result.failure
    ? result.records.map((record) => `- ${describeStanding(record).replaceAll(/[<>&\n`]/g, ' ')}`).join('\n')
    : ''
  const header = ['name', 'type', 'old', 'new', 'TTL', 'outcome']
  await writeSummary(`### ${title}\n\n${markdownTable(header, rows)}\n\n${standing}\n`)
}
