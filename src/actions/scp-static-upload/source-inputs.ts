import { resolve } from 'node:path'
import type { SourceOrder } from '../../release/source-reader.ts'
import type { InputReader } from '../../runner/input-reader.ts'

/** Reads what tells which files are meant; a relative `source` is relative to `workspace`. Nothing of it is checked. */
export function readSourceOrder(read: InputReader, workspace: string): SourceOrder {
  return {
    folder: resolve(workspace, read.text('source')),
    exclude: read.lines('exclude'),
    chmod: read.text('chmod'),
  }
}
