import { Failure } from '../failure.ts'
import type { Connection } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import type { HistoryEntry } from './history.ts'

/**
 * Writes a line into the history in `folder` and takes the journal away; refused where a later lock than `fence` has been
 * taken since.
 */
export async function writeHistory(
  connection: Connection,
  folder: string,
  fence: number,
  entry: HistoryEntry,
): Promise<void> {
  const written = await connection.script(String.raw`
folder=${quote(folder)}
read -r last <"$folder/fence"
[ "$last" -le ${fence} ]
umask 077
printf '%s\n' ${quote(JSON.stringify(entry))} >>"$folder/history.jsonl"
rm -f "$folder/current.json"`)
  if (written.code === 0) return
  throw new Failure('the history on the server could not be written', {
    host: connection.name,
    seen: written.stderr.trim() || 'a later run has taken over',
    state: entry.runs === null ? 'what runs there is not known.' : `${entry.runs.slice(0, 7)} is up there.`,
    hint: 'check the free disk space there',
  })
}
