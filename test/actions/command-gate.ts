// A command that waits for the test.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A command, on the runner or a server on this machine, that waits, and the switch that lets it go on. */
export function gate(): { command: string; open(): void; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-gate-'))
  const file = join(folder, 'open')
  return {
    command: `echo "at the gate: $EVENKEEL_NAMES"\nuntil [ -e ${file} ]; do sleep 0.05; done`,
    open: () => writeFileSync(file, ''),
    remove: () => {
      if (existsSync(folder)) rmSync(folder, { recursive: true })
    },
  }
}
