import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readActionFile, repositoryRoot } from '../harness/action-file.ts'
import { unknownInputs } from './rules.ts'

const read = (file: string) => readFileSync(join(repositoryRoot, file), 'utf8')
const pages = ['README.md', ...globSync('.github/docs/*.md', { cwd: repositoryRoot })]

describe('the troubleshooting page', () => {
  const sources = globSync(['src/**/*.ts', 'actions/launch', '.github/workflows/*.yml'], {
    cwd: repositoryRoot,
  })
  const all = sources.map(read).join('\n')
  const texts = [...read('.github/docs/troubleshooting.md').matchAll(/^\| (``?)(.+?)\1 \|/gm)].map(
    ([, , text]) => text ?? '',
  )

  test('has errors', () => expect(texts.length).toBeGreaterThan(30))

  test.each(texts)('%s', (text) => {
    // As it is, or as it stands in a literal with another quote.
    expect([text, text.replaceAll('`', '\\`')].some((form) => all.includes(form))).toBe(true)
  })
})

describe('the migration page', () => {
  const page = read('.github/docs/migration.md')
  const steps = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block]) => block ?? '')

  test('has steps with inputs that there are', () => {
    const ours = steps.filter((step) => step.includes('evenkeel/'))
    expect(ours.length).toBe(2)
    for (const step of ours) {
      const workflow = { jobs: { a: { steps: parse(step) as unknown } } }
      expect(unknownInputs(workflow, repositoryRoot)).toEqual([])
    }
  })

  test('names inputs that there are', () => {
    const inputs = ['scp-static-upload', 'git-pull-build-up', 'consul-restart'].flatMap((action) =>
      Object.keys(readActionFile(join(repositoryRoot, 'actions', action)).inputs ?? {}),
    )
    const others = ['scp-action', 'timeout-minutes', 'sleep']
    const cells = [...page.matchAll(/^\| .* \| (.*) \|$/gm)].map(([, cell]) => cell ?? '')
    const named = cells.flatMap((cell) =>
      [...cell.matchAll(/`([a-z]+(?:-[a-z]+)+)`/g)].map(([, name]) => name ?? ''),
    )
    expect(named.filter((name) => !inputs.includes(name) && !others.includes(name))).toEqual([])
  })
})

test.each(pages)('the links of %s lead somewhere', (page) => {
  const broken = [...read(page).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].filter(
    ([, path, anchor]) => {
      const target = path === '' ? page : resolve(repositoryRoot, dirname(page), path ?? '')
      const file = path === '' ? join(repositoryRoot, page) : target
      if (!existsSync(file)) return true
      return anchor !== undefined && !headings(readFileSync(file, 'utf8')).includes(anchor)
    },
  )
  expect(broken.map(([link]) => link)).toEqual([])
})

/** Headings as GitHub makes anchors of them. */
function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    (title ?? '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
