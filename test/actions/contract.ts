// What every folder of actions/ owes its users and the runner, told as a list of what is wrong.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type ActionFile, type ActionInput, readActionFile } from '../harness/action-file.ts'

/** The folders with an action.yml below `<root>/actions`, by name. */
export function actionsOf(root: string): string[] {
  const folder = join(root, 'actions')
  const names = existsSync(folder) ? readdirSync(folder) : []
  return names.filter((name) => existsSync(join(folder, name, 'action.yml'))).sort()
}

/** Everything in which `<root>/actions/<name>` breaks the contract; empty when nothing does. */
export function violations(folder: string): string[] {
  const name = basename(folder)
  let file: ActionFile
  try {
    file = readActionFile(folder)
  } catch (error) {
    return [(error as Error).message]
  }
  const found = [...stepViolations(name, file), ...descriptionViolations(file)]
  if (!existsSync(join(dirname(dirname(folder)), 'dist', name, 'index.js'))) {
    found.push(`dist/${name}/index.js is missing: npm run build`)
  }
  const readme = join(folder, 'README.md')
  if (!existsSync(readme)) return [...found, 'README.md is missing']
  return [...found, ...readmeViolations(readFileSync(readme, 'utf8'), file)]
}

function stepViolations(name: string, file: ActionFile): string[] {
  const found: string[] = []
  const { steps } = file.runs
  const last = steps.length - 1
  if (steps.length < 2) found.push('a main step and a settle step are needed')
  if (steps[0]?.id !== 'main') found.push('the first step must have the id main')
  for (const [index, step] of steps.entries()) {
    const at = `step ${step.id ?? index + 1}`
    const phase = index === last ? 'settle' : 'main'
    if (step.run.trim() !== `exec sh "$GITHUB_ACTION_PATH/../launch" ${name} ${phase}`) {
      found.push(`${at}: run must be: exec sh "$GITHUB_ACTION_PATH/../launch" ${name} ${phase}`)
    }
    if (step.run.includes('${{')) found.push(`${at}: an expression in run is an injection hole`)
    if (step.shell !== 'sh') found.push(`${at}: shell must be sh`)
    if (!isExpression(step.env?.['INPUTS'], 'toJSON(inputs)')) {
      found.push(`${at}: env.INPUTS must be toJSON(inputs)`)
    }
  }
  const settle = steps[last]
  if (!/^(\$\{\{\s*)?always\(\)(\s*\}\})?$/.test(String(settle?.if))) {
    found.push('the last step must run if: always()')
  }
  if (!isExpression(settle?.env?.['STATE'], 'steps.main.outputs.state')) {
    found.push('the last step: env.STATE must be steps.main.outputs.state')
  }
  return found
}

function isExpression(value: unknown, expression: string): boolean {
  const match = /^\$\{\{(.*)\}\}$/s.exec(String(value))
  return match?.[1]?.trim() === expression
}

function descriptionViolations(file: ActionFile): string[] {
  const found: string[] = []
  if (!file.name) found.push('the action has no name')
  if (!file.description) found.push('the action has no description')
  for (const [name, input] of Object.entries(file.inputs ?? {})) {
    if (!input?.description) found.push(`input ${name} has no description`)
    if (input?.required === true && input.default !== undefined) {
      found.push(`input ${name} is required and has a default`)
    }
  }
  for (const [name, output] of Object.entries(file.outputs ?? {})) {
    if (!output?.description) found.push(`output ${name} has no description`)
    if (!isExpression(output?.value, `steps.main.outputs.${name}`)) {
      found.push(`output ${name}: value must be steps.main.outputs.${name}`)
    }
  }
  return found
}

function readmeViolations(readme: string, file: ActionFile): string[] {
  const found: string[] = []
  const inputs = Object.entries(file.inputs ?? {}).map(([name, input]) => [name, defaultCell(input)])
  const outputs = Object.keys(file.outputs ?? {}).map((name) => [name])
  found.push(...difference('input', rowsOf(readme, ['input', 'default', 'meaning']), inputs))
  found.push(...difference('output', rowsOf(readme, ['output', 'meaning']), outputs))
  return found
}

/** What the default column says of an input: `required`, nothing, or the default itself. */
function defaultCell(input: ActionInput | null): string {
  if (input?.required === true) return 'required'
  return String(input?.default ?? '').trim()
}

function difference(kind: string, rows: string[][] | undefined, wanted: string[][]): string[] {
  if (!rows) {
    return wanted.length === 0 ? [] : [`README.md has no ${kind} table`]
  }
  const found: string[] = []
  const documented = new Map(rows.map(([name = '', ...cells]) => [name, cells]))
  if (documented.size < rows.length) found.push(`README.md: an ${kind} has two rows`)
  for (const [name = '', standard] of wanted) {
    const cells = documented.get(name)
    if (!cells) found.push(`README.md: ${kind} ${name} has no row`)
    else {
      if (standard !== undefined && cells[0] !== standard) {
        found.push(`README.md: the default of ${name} is '${standard}', not '${cells[0]}'`)
      }
      if (!cells.at(-1)) found.push(`README.md: ${kind} ${name} has no meaning`)
    }
    documented.delete(name)
  }
  for (const name of documented.keys()) found.push(`README.md: ${kind} ${name} does not exist`)
  return found
}

/** The cells, without backticks around them, of all tables with these headings (there may be several). */
function rowsOf(markdown: string, headings: string[]): string[][] | undefined {
  const rows: string[][] = []
  let tables = 0
  let inTable = false
  for (const line of markdown.split('\n')) {
    const cells = /^\s*\|(.*)\|\s*$/
      .exec(line)?.[1]
      ?.split(/(?<!\\)\|/)
      .map((cell) =>
        cell
          .trim()
          .replaceAll('\\|', '|')
          .replace(/^`(.*)`$/s, '$1'),
      )
    if (!cells) inTable = false
    else if (cells.join('|').toLowerCase() === headings.join('|')) {
      inTable = true
      tables += 1
    } else if (inTable && !cells.every((cell) => /^:?-+:?$/.test(cell))) rows.push(cells)
  }
  return tables === 0 ? undefined : rows
}
