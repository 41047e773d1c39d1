// An sshd whose sessions stop at a gate before or after a chosen command, so that a test can break off there.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../bed/process.ts'
import { type Sshd, type SshdOptions, startSshd } from '../bed/sshd.ts'

/** Commands and what their arguments look like, as a pattern of `case` over ` $* `; `after` they have done their work. */
const GATES = {
  lock: { command: 'flock', args: '*' },
  claim: { command: 'mkdir', args: '*"/staging/new+"*' },
  cp: { command: 'cp', args: '*' },
  tar: { command: 'tar', args: '*' },
  unpacked: { command: 'tar', args: '*', after: true },
  sha256sum: { command: 'sha256sum', args: '*' },
  /** The swap of the link, or the first files on their way into their place. */
  mv: { command: 'mv', args: '*" -T "*|*" . "' },
  swapped: { command: 'mv', args: '*" -T "*', after: true },
  confirm: { command: 'rm', args: '*"/meta/new/failed "*' },
  pages: { command: 'mv', args: '*".htm"*" . "' },
  deletions: { command: 'rm', args: '*"gone.js"*' },
  'before it is confirmed': { command: 'mv', args: '*"/pending "*"/confirmed "*' },
  'before the list is replaced': { command: 'mv', args: '*"/.evenkeel/site "*"/trash/"*' },
  'before the new list is there': { command: 'mv', args: '*"/site.new "*"/site "*' },
  prune: { command: 'mv', args: '*"/releases/oldest "*' },
} as const satisfies Record<string, { command: string; args: string; after?: boolean }>

export type Gate = keyof typeof GATES

export interface GatedSshd {
  readonly sshd: Sshd
  /** From now on the next such command waits; one alone does. */
  close(gate: Gate): void
  /** Resolves once somebody waits there. */
  reached(gate: Gate): Promise<void>
  open(gate: Gate): void
  stop(): Promise<void>
}

export async function startGatedSshd(options: SshdOptions = {}): Promise<GatedSshd> {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-gates-'))
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const gates = Object.entries(GATES)
  for (const command of new Set(gates.map(([, gate]) => gate.command))) {
    const mine = gates.filter(([, gate]) => gate.command === command)
    const calls = (after: boolean) =>
      mine
        .filter(([, gate]) => 'after' in gate === after)
        .map(([name, { args }]) => `case " $* " in ${args}) wait_at '${name}' ;; esac`)
        .join('\n')
    const wrapper = join(bin, command)
    writeFileSync(
      wrapper,
      `#!/bin/sh
PATH=\${PATH#*:}
wait_at() {
  [ -f "${folder}/$1" ] && mkdir "${folder}/$1.reached" 2>/dev/null || return 0
  while [ -f "${folder}/$1" ]; do sleep 0.05; done
}
${calls(false)}
${calls(true) === '' ? `exec ${command} "$@"` : `${command} "$@" || exit\n${calls(true)}`}
`,
    )
    chmodSync(wrapper, 0o755)
  }
  const sshd = await startSshd({ ...options, path: [bin] })
  const file = (gate: Gate) => join(folder, gate)
  return {
    sshd,
    close: (gate) => writeFileSync(file(gate), ''),
    reached: (gate) => until(`${gate} is reached`, () => existsSync(`${file(gate)}.reached`), 20_000),
    open: (gate) => {
      rmSync(file(gate), { force: true })
      rmSync(`${file(gate)}.reached`, { recursive: true, force: true })
    },
    stop: async () => {
      await sshd.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
