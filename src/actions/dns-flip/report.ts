import type { Log } from '../../context.ts'
import type { FlipResult } from '../../dns/flip.ts'
import type { NameServer } from '../../dns/name-servers.ts'
import type { Plan } from '../../dns/plan.ts'
import { formatEndpoint } from '../../dns/query.ts'
import { formatValues, type RecordChange, type RecordSet, sameValues } from '../../dns/record.ts'
import { describeStanding } from '../../dns/writes.ts'
import { Failure } from '../../failure.ts'
import { markdownTable, writeSummary } from '../../runner/summary.ts'

const HEADER = ['name', 'type', 'old', 'new', 'TTL', 'proxied', 'verdict']

/** A row per record set, those that are refused last. */
function planRows({ steps, problems }: Plan): string[][] {
  const row = ({ name, type, from, to }: RecordChange, current: RecordSet | undefined, verdict: string) => [
    name,
    type,
    formatValues(from),
    formatValues(to),
    current === undefined ? '' : String(current.ttl),
    current?.proxied ? 'yes' : 'no',
    verdict,
  ]
  return [
    ...steps.map(({ change, current, verdict }) =>
      row(change, current, verdict === 'write' ? 'to be written' : 'is new already'),
    ),
    ...problems.map(({ change, current, what }) => row(change, current, `REFUSED: ${what}`)),
  ]
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

/** The output `report` of a dry run. */
export function planReport({ steps }: Plan): unknown {
  return {
    dryRun: true,
    records: steps.map(({ change: { name, type, from, to }, current: { ttl }, verdict }) => ({
      ...{ name, type, old: from, new: to, ttl },
      outcome: verdict === 'write' ? 'to be written' : 'new already',
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
function outcomes(plan: Plan, result: FlipResult): { name: string; type: string; outcome: string }[] {
  return plan.steps.map(({ change: { name, type }, verdict }) => {
    const record = result.records.find(({ write: { after } }) => after.name === name && after.type === type)
    const idle = verdict === 'done' ? 'new already' : 'not written'
    return {
      name,
      type,
      outcome: record === undefined ? idle : record.standing === 'new' ? 'written' : record.standing,
    }
  })
}

/** The output `report`. */
export function reportOf(plan: Plan, result: FlipResult, servers: readonly NameServer[]): unknown {
  const states = outcomes(plan, result)
  return {
    records: plan.steps.map(({ change: { name, type, from, to }, current: { ttl } }, index) => ({
      name,
      type,
      old: from,
      new: to,
      ttl,
      outcome: states[index]?.outcome,
    })),
    nameServers: servers.map(({ name, addresses }) => ({ name, addresses: addresses.map(formatEndpoint) })),
    unchecked: result.unchecked,
    ...(result.failure ? { failure: result.failure.message } : {}),
  }
}

export async function summarizeFlip(plan: Plan, result: FlipResult, zone: string): Promise<void> {
  const states = outcomes(plan, result)
  const rows = plan.steps
    .filter(({ change }) => !sameValues(change.from, change.to))
    .map(({ change: { name, type, from, to }, current: { ttl } }) => [
      name,
      type,
      formatValues(from),
      formatValues(to),
      String(ttl),
      states.find((one) => one.name === name && one.type === type)?.outcome ?? '',
    ])
  const title = result.failure ? `DNS flip of ${zone} failed` : `DNS flip of ${zone}`
  await writeSummary(
    `### ${title}\n\n${markdownTable(['name', 'type', 'old', 'new', 'TTL', 'outcome'], rows)}\n\n${result.failure ? result.records.map((record) => `- ${describeStanding(record).replaceAll(/[<>&\n`]/g, ' ')}`).join('\n') : ''}\n`,
  )
}
