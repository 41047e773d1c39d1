// What a run of an action gives back.
import type { Annotation } from './step-log.ts'

export type Conclusion = 'success' | 'failure' | 'cancelled' | 'skipped'

export interface StepResult {
  id: string
  /** What came of the step; `conclusion` differs from it only under continue-on-error. */
  outcome: Conclusion
  conclusion: Conclusion
  exitCode: number | null
  /** The signal that ended the entry process, if one did. */
  signal: NodeJS.Signals | null
  /** The signals that the harness sent it. */
  sent: NodeJS.Signals[]
  outputs: Record<string, string>
}

export interface ActionResult {
  conclusion: 'success' | 'failure' | 'cancelled'
  outputs: Record<string, string>
  /** The log as GitHub shows it, secrets hidden. */
  log: string
  /** What the steps' processes printed, nothing hidden and commands included. */
  rawLog: string
  /** The job summary, secrets hidden. */
  summary: string
  /** Every value hidden at the end: the token, `secrets`, and those of add-mask. */
  masks: string[]
  annotations: Annotation[]
  steps: StepResult[]
  /** Command lines of processes that were still there at the end and had to be ended. */
  orphans: string[]
  durationMs: number
}
