// The suite as another repository would get it, with what act does not know rewritten or left out.
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '../harness/action-file.ts'

/** The name and version that callers write. */
export const SUITE = 'evenkeel/evenkeel'
export const SUITE_VERSION = 'v1'

/** What takes the place of something that is not to be had without GitHub, or is not enough for a test. */
export const standIns = join(import.meta.dirname, 'stand-ins')

/** All that is changed in the copy. */
export const REWRITES: readonly { readonly why: string; readonly from: RegExp; readonly to: string }[] = [
  {
    why: 'act does not know `$/`, "this repository at this commit": it gets the repository and version by name',
    from: /^(\s+uses: )\$\/(\S+)$/gm,
    to: `$1${SUITE}/$2@${SUITE_VERSION}`,
  },
  {
    why: 'act does not know `deployment` and makes no records anyway',
    from: /^\s+deployment: false\n/gm,
    to: '',
  },
  { why: 'act does not know `queue` and ignores `concurrency`', from: /^\s+queue: max\n/gm, to: '' },
]

/** Copies actions, bundles and workflows into a new folder. */
export function copySuite(folder: string): void {
  mkdirSync(join(folder, '.github/workflows'), { recursive: true })
  for (const part of ['actions', 'dist']) {
    cpSync(join(repositoryRoot, part), join(folder, part), { recursive: true })
  }
  renameSync(join(folder, 'actions/launch'), join(folder, 'actions/launch-itself'))
  cpSync(join(standIns, 'launch'), join(folder, 'actions/launch'))
  const workflows = join(repositoryRoot, '.github/workflows')
  for (const name of readdirSync(workflows)) {
    const text = readFileSync(join(workflows, name), 'utf8')
    const rewritten = REWRITES.reduce((before, { from, to }) => before.replace(from, to), text)
    writeFileSync(join(folder, '.github/workflows', name), rewritten)
  }
}
