// What GitHub's own language service does not find in workflows and action files, as rules over the parsed YAML.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { readActionFile } from '../harness/action-file.ts'

type Fields = Record<string, unknown>

/** The steps of a workflow's jobs or of a composite action, each with the words that say where it stands. */
function stepsOf(file: Fields): [where: string, step: Fields][] {
  const jobs = Object.entries(fieldsOf(file['jobs'])).flatMap(([job, value]) =>
    listOf(fieldsOf(value)['steps']).map((step, index): [string, Fields] => [
      `job ${job}, step ${index + 1}`,
      step,
    ]),
  )
  const own = listOf(fieldsOf(file['runs'])['steps']).map((step, index): [string, Fields] => [
    `step ${index + 1}`,
    step,
  ])
  return [...jobs, ...own]
}

/** What is wrong with a workflow, or an action's file; `root` is the repository it belongs to. */
export function brokenRules(file: Fields, root: string): string[] {
  const isWorkflow = 'jobs' in file
  const found = stepsOf(file).flatMap(([where, step]) =>
    stepProblems(step, root).map((problem) => `${where}: ${problem}`),
  )
  return isWorkflow ? [...workflowProblems(file), ...found] : found
}

function stepProblems(step: Fields, root: string): string[] {
  const problems: string[] = []
  const run = String(step['run'] ?? '')
  if (run.includes('${{'))
    problems.push('`${{ }}` inside `run` pastes a value into code: hand it over in `env`')
  for (const line of secretsOnCommandLine(run, fieldsOf(step['env']))) {
    problems.push(`a secret on a command line, which every process can read: ${line}`)
  }
  if ('uses' in step) problems.push(...usesProblems(String(step['uses']), fieldsOf(step['with']), root))
  return problems
}

/** Commands of the shell itself put nothing into a process list. */
const BUILT_IN = /^(if|while|until|case|export|read|test|\[\[?|echo|printf|:)(?=\s|$)/

function secretsOnCommandLine(run: string, env: Fields): string[] {
  const names = Object.entries(env)
    .filter(([, value]) => /\b(secrets\.\w+|github\.token)\b(?!\s*[!=]=)/.test(String(value)))
    .map(([name]) => name)
  const uses = (line: string) => names.some((name) => new RegExp(`\\$\\{?${name}\\b`).test(line))
  return run.split('\n').filter((line) => uses(line) && !BUILT_IN.test(line.trim()))
}

function usesProblems(uses: string, given: Fields, root: string): string[] {
  if (uses.startsWith('$/')) return ownActionProblems(uses.slice(2), given, root)
  if (uses.startsWith('./')) return []
  if (/^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/.test(uses)) return []
  return [`${uses} is not pinned to a full commit id`]
}

function ownActionProblems(path: string, given: Fields, root: string): string[] {
  const folder = join(root, path)
  if (!existsSync(folder)) return [`$/${path} does not exist`]
  return inputProblems(path, given, readActionFile(folder).inputs ?? {})
}

function inputProblems(path: string, given: Fields, defined: Fields): string[] {
  const required = Object.keys(defined).filter((name) => fieldsOf(defined[name])['required'] === true)
  return [
    ...Object.keys(given)
      .filter((name) => !(name in defined))
      .map((name) => `${path} has no input ${name}`),
    ...required.filter((name) => !(name in given)).map((name) => `${path} needs the input ${name}`),
  ]
}

function workflowProblems(file: Fields): string[] {
  const problems: string[] = []
  // YAML 1.1 readers take `on` for a boolean; the reader here does not.
  const events = typeof file['on'] === 'string' ? [file['on']] : Object.keys(fieldsOf(file['on']))
  if (events.includes('pull_request_target'))
    problems.push('pull_request_target runs with secrets on strange code')
  if (!('permissions' in file)) problems.push('no `permissions` at the top: the default may be everything')
  if (JSON.stringify(file['permissions'] ?? {}).includes('write')) {
    problems.push('`permissions` to write belong to the job that needs them')
  }
  for (const [name, value] of Object.entries(fieldsOf(file['jobs']))) {
    const job = fieldsOf(value)
    if ('uses' in job) continue
    if (!('timeout-minutes' in job))
      problems.push(`job ${name}: no timeout-minutes: it may hang for six hours`)
    if (!('permissions' in job) && events.includes('workflow_call'))
      problems.push(`job ${name}: no \`permissions\``)
  }
  if (events.includes('workflow_call')) problems.push(...reusableProblems(file))
  return problems
}

function reusableProblems(file: Fields): string[] {
  const problems: string[] = []
  const call = fieldsOf(fieldsOf(file['on'])['workflow_call'])
  for (const [name, input] of Object.entries(fieldsOf(call['inputs']))) {
    const { type, required, description } = fieldsOf(input) as {
      type?: string
      required?: boolean
      description?: string
    }
    if (!['string', 'number', 'boolean'].includes(String(type))) problems.push(`input ${name} has no type`)
    if (!description) problems.push(`input ${name} has no description`)
    if ((required === true) === 'default' in fieldsOf(input)) {
      problems.push(`input ${name} must be either required or have a default`)
    }
  }
  for (const [name, secret] of Object.entries(fieldsOf(call['secrets']))) {
    if (fieldsOf(secret)['required'] !== false) {
      problems.push(`secret ${name} must be \`required: false\`: callers cannot pass those of an environment`)
    }
  }
  for (const [name, value] of Object.entries(fieldsOf(file['jobs']))) {
    const { concurrency, environment } = fieldsOf(value)
    const { group, ...rest } = fieldsOf(concurrency)
    if (!String(group).startsWith('evenkeel-'))
      problems.push(`job ${name}: its concurrency group must begin with evenkeel-`)
    if (rest['queue'] !== 'max' || rest['cancel-in-progress'] !== false) {
      problems.push(
        `job ${name}: runs must queue up (queue: max) and never be cancelled (cancel-in-progress: false)`,
      )
    }
    if (fieldsOf(environment)['deployment'] !== false) {
      problems.push(
        `job ${name}: environment needs deployment: false, as the record is made by record-deployment`,
      )
    }
  }
  return problems
}

/** What is wrong with the inputs that a caller gives to this suite's workflows and actions, named as others name them. */
export function unknownInputs(file: Fields, root: string): string[] {
  const own = /^evenkeel\/evenkeel\/(.*)@v1$/
  const jobs = Object.values(fieldsOf(file['jobs'])).map(fieldsOf)
  return [...jobs, ...stepsOf(file).map(([, step]) => step)].flatMap((step) => {
    const path = own.exec(String(step['uses'] ?? ''))?.[1]
    if (path === undefined) return []
    const given = fieldsOf(step['with'])
    if (!path.endsWith('.yml'))
      return inputProblems(path, given, readActionFile(join(root, path)).inputs ?? {})
    const called = fieldsOf(parse(readFileSync(join(root, path), 'utf8')))
    return inputProblems(path, given, fieldsOf(fieldsOf(fieldsOf(called['on'])['workflow_call'])['inputs']))
  })
}

/** Where a reusable workflow hands an input on as it is to an action, both must have the same default. */
export function differingDefaults(file: Fields, root: string): string[] {
  const inputs = fieldsOf(fieldsOf(fieldsOf(file['on'])['workflow_call'])['inputs'])
  return stepsOf(file).flatMap(([where, step]) => {
    const uses = String(step['uses'] ?? '')
    if (!uses.startsWith('$/')) return []
    const defined = readActionFile(join(root, uses.slice(2))).inputs ?? {}
    return Object.entries(fieldsOf(step['with'])).flatMap(([name, value]) => {
      const passed = /^\$\{\{ inputs\.([\w-]+) \}\}$/.exec(String(value))?.[1]
      const input = fieldsOf(inputs[passed ?? ''])
      if (passed !== name || !('default' in input)) return []
      const [ours, its] = [String(input['default']), String(defined[name]?.default ?? '')]
      return ours === its ? [] : [`${where}: ${name} is '${ours}' by default, that of ${uses} is '${its}'`]
    })
  })
}

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}

const listOf = (value: unknown): Fields[] => (Array.isArray(value) ? value.map(fieldsOf) : [])
