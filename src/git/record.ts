import { Failure } from '../failure.ts'
import type { Connection } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import type { HistoryEntry } from './history.ts'

const FENCED = 64

/** The server does not let the history be written: its disk is full. */
export class NotWritten extends Failure {}

/**
 * Writes a line into the history in `folder` and takes the journal away; refused where a later lock than `fence` has been
 * taken since. `NotWritten` tells that it could not be.
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
[ "$last" -le ${fence} ] || exit ${FENCED}
umask 077
# The end of a line that a full disk has cut off.
[ ! -s "$folder/history.jsonl" ] || [ -z "$(tail -c 1 "$folder/history.jsonl")" ] || printf '\n' >>"$folder/history.jsonl"
printf '%s\n' ${quote(JSON.stringify(entry))} >>"$folder/history.jsonl" || { df -Pk -- "$folder" >&2; exit 1; }
rm -f "$folder/current.json"`)
  if (written.code === 0) return
  const state =
    entry.runs === null ? 'what runs there is not known.' : `${entry.runs.slice(0, 7)} is up there.`
  if (written.code === FENCED)
    throw new Failure('a later run has taken over', { host: connection.name, state })
  throw new NotWritten('the history on the server could not be written', {
    host: connection.name,
    seen: written.stderr.trim(),
    state,
    hint: 'free some space there; the next deploy to it puts the history right',
  })
}
