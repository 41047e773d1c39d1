// Takes over what a step wrote into the runner's files, after it has ended in whatever way.
import { readFileSync } from 'node:fs'
import type { StepResult } from './action-result.ts'
import { FileCommandError, parsePairs } from './file-commands.ts'
import type { Job, StepFiles } from './job.ts'
import type { StepLog } from './step-log.ts'

/** The runner uploads no summary above this, in bytes. */
const summaryLimit = 1024 * 1024

/** Sets outputs, variables and PATH; false when a file is malformed, which fails the step. */
export function takeFiles(files: StepFiles, result: StepResult, job: Job, log: StepLog): boolean {
  const outputs = takePairs(files, 'output', log, (name, value) => {
    result.outputs[name] = value
  })
  const variables = takePairs(files, 'env', log, (name, value) => {
    if (name.toUpperCase() === 'NODE_OPTIONS') {
      log.annotate('error', "Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.")
    } else job.env[name] = value
  })
  for (const folder of readFileSync(files.path, 'utf8').split('\n')) {
    if (folder !== '') job.prependPath(folder)
  }
  return outputs && variables
}

function takePairs(
  files: StepFiles,
  kind: 'output' | 'env',
  log: StepLog,
  set: (name: string, value: string) => void,
): boolean {
  try {
    for (const [name, value] of parsePairs(readFileSync(files[kind], 'utf8'))) set(name, value)
    return true
  } catch (error) {
    if (!(error instanceof FileCommandError)) throw error
    log.annotate('error', `Unable to process file command '${kind}' successfully.`)
    log.annotate('error', error.message)
    return false
  }
}

/** The step's summary with secrets hidden; nothing of it, and an error, when it is too large. */
export function takeSummary(files: StepFiles, log: StepLog): string {
  const content = readFileSync(files.step_summary)
  if (content.length > summaryLimit) {
    const size = Math.floor(content.length / 1024)
    log.annotate(
      'error',
      `$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k, got ${size}k.`,
    )
    return ''
  }
  const lines = content.toString('utf8').split('\n')
  return lines.map((line) => log.masks.mask(line)).join('\n')
}
