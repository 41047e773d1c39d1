import { formatDuration } from '../../duration.ts'
import { formatBytes } from '../../release/progress.ts'
import type { StageReport } from '../../release/stage.ts'
import type { Run } from '../../runner/action.ts'
import { markdownTable, plainMarkdown, writeSummary } from '../../runner/summary.ts'
import type { UploadInputs } from './inputs.ts'

export interface UploadReport {
  readonly inputs: UploadInputs
  readonly staged: readonly StageReport[]
  readonly previous: string
  readonly changed: boolean
  /** Files of the site. */
  readonly files: number
  /** What each host serves now, for people. */
  readonly serves: readonly string[]
  /** Until all hosts were reached. */
  readonly connectedMs: number
  readonly durationMs: number
}

/** Writes the outputs, the log's last lines and the summary. */
export async function reportUpload(run: Run, report: UploadReport): Promise<void> {
  const { inputs, staged, previous, changed, files, connectedMs, durationMs } = report
  const most = (pick: (one: StageReport) => number) => Math.max(...staged.map(pick))
  const sum = (pick: (one: StageReport) => number) => staged.reduce((total, one) => total + pick(one), 0)
  run.output('release', inputs.release)
  run.output('previous-release', previous)
  run.output('files', files)
  run.output(
    'files-sent',
    most(({ filesSent }) => filesSent),
  )
  run.output(
    'bytes-sent',
    sum(({ bytesOnWire }) => bytesOnWire),
  )
  run.output('changed', changed)
  run.output('duration-ms', Math.round(durationMs))
  run.output(
    'report',
    JSON.stringify({ release: inputs.release, previous, changed, hosts: staged.map(rounded) }),
  )
  const plan = inputs.dryRun ? ' (dry run: nothing was changed)' : ''
  run.context.log.info(`done in ${formatDuration(durationMs)}${plan}`)
  await writeSummary(
    `### Static upload: release ${plainMarkdown(inputs.release)}${plan}\n\n${table(report)}\n\nTook ${formatDuration(durationMs)}, of which ${formatDuration(connectedMs)} to connect; before it: ${plainMarkdown(previous) || 'none'}.\n${sftpNote(staged)}`,
  )
}

/** What differs where a login has SFTP and no shell. */
function sftpNote(staged: readonly StageReport[]): string {
  const hosts = staged.filter(({ codec }) => codec === 'sftp').map(({ host }) => host)
  if (hosts.length === 0) return ''
  const checked = staged.some(({ codec, verified }) => codec === 'sftp' && verified === 'sizes')
    ? 'sizes and number of files were checked, contents were not read back'
    : 'contents were read back and compared'
  return `\nThrough SFTP, without a shell: ${hosts.map(plainMarkdown).join(', ')} (${checked}).\n`
}

function table({ staged, serves }: UploadReport): string {
  const header = [
    'host',
    'added',
    'changed',
    'removed',
    'unchanged',
    'on the wire',
    'site',
    'compare / send / verify',
    'serves',
  ]
  const rows = staged.map((one, index) => [
    one.host,
    String(one.added),
    String(one.changed),
    String(one.removed),
    String(one.unchanged),
    `${formatBytes(one.bytesOnWire)} (${one.codec})`,
    formatBytes(one.siteBytes),
    [one.comparedMs, one.sentMs, one.verifiedMs].map(formatDuration).join(' / '),
    serves[index] ?? '',
  ])
  return markdownTable(header, rows)
}

function rounded(report: StageReport): StageReport {
  const { comparedMs, sentMs, verifiedMs } = report
  return {
    ...report,
    comparedMs: Math.round(comparedMs),
    sentMs: Math.round(sentMs),
    verifiedMs: Math.round(verifiedMs),
  }
}
