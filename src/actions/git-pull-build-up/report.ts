import type { Candidate } from '../../git/fleet.ts'
import type { HostOutcome } from '../../git/plan.ts'
import { preview } from '../../git/preview.ts'
import type { Source } from '../../git/repository.ts'
import type { Run } from '../../runner/action.ts'
import { inGroup } from '../../runner/console-log.ts'
import { markdownTable, writeSummary } from '../../runner/summary.ts'

/** Prints what a deploy to a host would change; changes nothing. */
export async function show(
  candidate: Candidate,
  sha: string,
  plan: { readonly path: string; readonly source: Source },
  run: Run,
): Promise<void> {
  const { server, found, context } = candidate
  await inGroup(`What would change on ${server.name}`, async () => {
    const { log } = context
    if (found.checkout === 'none') {
      log.info(
        `would clone ${plan.source.repository ?? 'the commits of the runner'} to '${plan.path}' at ${sha}`,
      )
      return
    }
    log.info(`checked out now: ${found.head ?? 'nothing'}; would be: ${sha}`)
    for (const line of found.changedFiles) log.info(`would go to a stash ref: ${line}`)
    const changes = await preview(server.connection, found.path, sha, found.stored, plan.source, run.context)
    if (changes.length === 0) log.info('no commits and no files would change')
    for (const line of changes) log.info(line)
  })
}

/** Gives out what happened on the hosts: outputs and summary. */
export async function conclude(outcomes: readonly HostOutcome[], run: Run): Promise<void> {
  const [first] = outcomes
  const failed = outcomes.find(({ failure }) => failure !== undefined)
  run.output('previous-sha', first?.previous ?? '')
  run.output(
    'changed',
    outcomes.some(({ changed }) => changed),
  )
  run.output(
    'rolled-back',
    outcomes.some(({ rolledBack }) => rolledBack),
  )
  run.output('log-path', (failed ?? first)?.logPath ?? '')
  const report = outcomes.map(({ failure, ...outcome }) => ({ ...outcome, error: failure?.describe() }))
  run.output('report', JSON.stringify(report))
  await writeSummary(table(outcomes, 'git-pull-build-up'))
}

/** One row a host, for the summary. */
export function table(outcomes: readonly HostOutcome[], title: string): string {
  const name = (sha: string | null) => sha?.slice(0, 7) ?? 'not known'
  const rows = outcomes.map((outcome) => [
    outcome.host,
    name(outcome.previous),
    name(outcome.sha),
    outcome.changed || outcome.failure
      ? outcome.rolledBack
        ? `${outcome.result}, went back`
        : outcome.result
      : 'nothing to do',
    name(outcome.runs),
    outcome.health,
    `${(outcome.durationMs / 1_000).toFixed(1)} s`,
    outcome.logPath,
  ])
  const header = ['host', 'before', 'deployed', 'result', 'runs now', 'health', 'took', 'log on the server']
  return `### Deploy: ${title}\n\n${markdownTable(header, rows)}\n`
}
