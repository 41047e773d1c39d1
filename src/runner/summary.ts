import * as core from '@actions/core'
import type { Failure } from '../failure.ts'

/** GitHub cuts a summary off above 1,024 KiB; the rest of the job may want some of it. */
const MAX_BYTES = 256 * 1024

/** Appends Markdown to the job's summary page; does nothing outside of a runner. */
export async function writeSummary(markdown: string): Promise<void> {
  if (!process.env['GITHUB_STEP_SUMMARY']) return
  const text =
    Buffer.byteLength(markdown) > MAX_BYTES ? `${markdown.slice(0, MAX_BYTES / 4)}\n\n(cut)` : markdown
  await core.summary.addRaw(text, true).write()
}

/** An error as a section of the summary, with all it has to tell. */
export function failureMarkdown(failure: Failure): string {
  return `### Failed: ${plainMarkdown(failure.message)}\n\n${failure.describe().split('\n').map(plainMarkdown).join('<br>')}\n`
}

/** A Markdown table. Cells are plain text: markup in them, from a file name or a server, is shown and not obeyed. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(plainMarkdown).join(' | ')} |`
  return [line(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

/** Text that Markdown and HTML show as it is. */
export function plainMarkdown(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll(/[\\`*_{}[\]()#+!|~@]/g, (char) => `&#${char.charCodeAt(0)};`)
    .replaceAll(/\r?\n/g, '<br>')
}
