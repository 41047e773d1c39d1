// Reads an action.yml of a composite action and refuses what the harness does not run.
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'

export interface ActionInput {
  description?: string
  required?: boolean
  default?: string | number | boolean | null
}

export interface ActionStep {
  name?: string
  id?: string
  if?: string | boolean
  run: string
  shell: string
  env?: Record<string, string | number | boolean | null>
  'working-directory'?: string
  'continue-on-error'?: string | boolean
}

export interface ActionFile {
  name?: string
  description?: string
  inputs?: Record<string, ActionInput | null>
  outputs?: Record<string, { description?: string; value: string }>
  runs: { using: string; steps: ActionStep[] }
}

/** The repository's top folder. */
export const repositoryRoot = resolve(import.meta.dirname, '../..')

const stepKeys = ['name', 'id', 'if', 'run', 'shell', 'env', 'working-directory', 'continue-on-error']

/** The folder of an action: a name stands for actions/<name> of this repository, anything with a `/` is a path. */
export function actionFolder(action: string): string {
  return action.includes('/') ? resolve(action) : join(repositoryRoot, 'actions', action)
}

export function readActionFile(folder: string): ActionFile {
  const path = ['action.yml', 'action.yaml']
    .map((name) => join(folder, name))
    .find((file) => existsSync(file))
  if (!path) throw new Error(`No action.yml in ${folder}`)
  const file = parse(readFileSync(path, 'utf8')) as ActionFile
  if (file?.runs?.using !== 'composite' || !Array.isArray(file.runs.steps)) {
    throw new Error(`${path}: only composite actions can be run here (runs.using: composite with steps)`)
  }
  for (const [index, step] of file.runs.steps.entries()) {
    const at = `${path}: step ${step.id ?? index + 1}`
    if ('uses' in step) throw new Error(`${at}: nested \`uses\` is not served by this harness`)
    const unknown = Object.keys(step).filter((key) => !stepKeys.includes(key))
    if (unknown.length > 0) throw new Error(`${at}: Unexpected value '${unknown.join("', '")}'`)
    if (typeof step.run !== 'string') throw new Error(`${at}: Required property is missing: run`)
    if (typeof step.shell !== 'string') throw new Error(`${at}: Required property is missing: shell`)
  }
  return file
}
