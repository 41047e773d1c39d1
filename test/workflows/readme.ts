// The workflows that the README shows, as people copy them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '../harness/action-file.ts'

/** Every YAML block, in order. */
export function readmeBlocks(): string[] {
  const text = readFileSync(join(repositoryRoot, 'README.md'), 'utf8')
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block]) => block ?? '')
}

/** The caller of one of the reusable workflows, with values of the test's own; each must be there to be replaced. */
export function readmeCaller(workflow: string, values: readonly (readonly [string, string])[]): string {
  const found = readmeBlocks().filter((block) => block.includes(`/.github/workflows/${workflow}.yml@v1`))
  if (found.length !== 1) throw new Error(`the README has ${found.length} callers of ${workflow}.yml`)
  return values.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the README's caller of ${workflow}.yml has no '${from}'`)
    return text.replaceAll(from, () => to)
  }, found[0] ?? '')
}
