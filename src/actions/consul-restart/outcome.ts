import { formatDuration } from '../../duration.ts'
import { Cancelled, Failure } from '../../failure.ts'
import { type RolloutReport, reportTable } from '../../rollout/report.ts'
import type { Run } from '../../runner/action.ts'
import { markdownTable, plainMarkdown, writeSummary } from '../../runner/summary.ts'

/** Writes outputs and summary; throws when the rollout did not do all that it was to do. */
export async function conclude(run: Run, report: RolloutReport): Promise<void> {
  run.output('updated', report.updated.join(','))
  run.output('failed', report.failed.join(','))
  run.output('skipped', report.skipped.join(','))
  run.output('report', JSON.stringify(report))
  await writeSummary(summaryOf(report))
  const { stopped, nodes } = report
  const out = nodes.filter((node) => node.out)
  const state =
    out.length === 0
      ? 'no node of this run is out.'
      : `out: ${out.map(({ label, reason }) => `${label} (${reason ?? 'not put back'})`).join(', ')}; the others serve.`
  if (run.context.signal.aborted) throw new Cancelled('cancelled', { state })
  if (stopped === undefined) return
  const untouched = nodes.filter(({ outcome }) => outcome === 'untouched').length
  const { updated, reverted, backStopped } = report
  const back = reverted.length === 0 ? '' : `${reverted.length} taken back, `
  throw new Failure('the rollout was stopped', {
    seen: backStopped === undefined ? stopped : `${stopped}; not all went back: ${backStopped}`,
    state: `${updated.length} updated, ${back}${untouched} untouched; ${state}`,
    hint:
      out.length === 0
        ? 'put right what stopped it and run the job again: it goes on where it was'
        : 'see why the node is not well; when it is, or with a new release, run the job again: it takes the node over',
  })
}

/** More rows than this are folded away, but for those that need a look. */
const ROWS_SHOWN = 30
const OUTCOME_COLUMN = 2

function tables(header: string[], rows: string[][]): string[] {
  if (rows.length === 0) return ['There was nothing to restart.']
  if (rows.length <= ROWS_SHOWN) return [markdownTable(header, rows)]
  const apart = rows.filter((row) => row[OUTCOME_COLUMN] !== 'updated').slice(0, ROWS_SHOWN)
  const all = `<details><summary>All ${rows.length} nodes</summary>\n\n${markdownTable(header, rows)}\n</details>`
  return apart.length === 0 ? [all] : [markdownTable(header, apart), all]
}

function summaryOf(report: RolloutReport): string {
  const { header, rows } = reportTable(report)
  const { upstream, release, updated, nodes, durationMs, stopped, backStopped } = report
  const lines = [
    `### Rolling restart of ${plainMarkdown(upstream)}: ${updated.length} of ${nodes.length} nodes updated to ${plainMarkdown(release)} in ${formatDuration(durationMs)}`,
    ...(stopped === undefined ? [] : [`**Stopped:** ${plainMarkdown(stopped)}`]),
    ...(backStopped === undefined ? [] : [`**Not all went back:** ${plainMarkdown(backStopped)}`]),
    ...tables(header, rows),
    ...report.recovered.map(
      ({ address, outcome, reason }) =>
        `Left out by an earlier run: ${plainMarkdown(`${address}: ${outcome} (${reason})`)}`,
    ),
  ]
  const releases = Object.entries(report.releases)
  if (releases.length > 1) {
    const list = releases.map(([name, having]) => `${name} on ${having.join(', ')}`).join('; ')
    lines.push(`Several releases are on the nodes: ${plainMarkdown(list)}`)
  }
  return `${lines.join('\n\n')}\n`
}
