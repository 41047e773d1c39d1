// An sshd whose sessions stop at a gate in the middle of a chosen command, so that a test can kill them there.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'

export type Gate = 'cp' | 'tar' | 'sha256sum' | 'mv'

export interface GatedSshd {
  readonly sshd: Sshd
  /** From now on this command waits before it does its work. */
  close(gate: Gate): void
  /** Resolves once somebody waits there. */
  reached(gate: Gate): Promise<void>
  open(gate: Gate): void
  stop(): Promise<void>
}

export async function startGatedSshd(): Promise<GatedSshd> {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-gates-'))
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  for (const command of ['cp', 'tar', 'sha256sum', 'mv'] satisfies Gate[]) {
    const wrapper = join(bin, command)
    // mv is used for more than the swap of the link, or for files into their place: only these wait.
    const when = command === 'mv' ? 'case " $* " in *" -T "* | *" . ") wait_here ;; esac' : 'wait_here'
    writeFileSync(
      wrapper,
      `#!/bin/sh
gate=${folder}/${command}
wait_here() {
  [ -f "$gate" ] && : >"$gate.reached"
  while [ -f "$gate" ]; do sleep 0.05; done
}
${when}
PATH=\${PATH#*:}
exec ${command} "$@"
`,
    )
    chmodSync(wrapper, 0o755)
  }
  const sshd = await startSshd({ path: [bin] })
  const file = (gate: Gate) => join(folder, gate)
  return {
    sshd,
    close: (gate) => writeFileSync(file(gate), ''),
    reached: (gate) => until(`${gate} is reached`, () => existsSync(`${file(gate)}.reached`), 20_000),
    open: (gate) => {
      rmSync(file(gate), { force: true })
      rmSync(`${file(gate)}.reached`, { force: true })
    },
    stop: async () => {
      await sshd.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
