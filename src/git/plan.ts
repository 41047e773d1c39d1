import { createHash } from 'node:crypto'
import type { Context } from '../context.ts'
import type { Failure } from '../failure.ts'
import type { PollResult } from '../health/poll.ts'
import type { Reconnecting } from '../ssh/reconnecting.ts'
import type { HistoryEntry } from './history.ts'
import type { Source } from './repository.ts'
import type { Survey } from './survey.ts'

/** What to bring to every host of a step. */
export interface DeployPlan {
  /** Unique to this deploy. */
  readonly id: string
  /** The checkout, absolute or below the user's home. */
  readonly path: string
  readonly sha: string
  readonly release: string
  readonly source: Source
  readonly build: string
  readonly up: string
  readonly env: Readonly<Record<string, string>>
  /** For each of build and up. */
  readonly timeoutMs: number
  readonly lockWaitMs: number
  /** How long work of a deploy whose runner is silent is left alone, in ms: the runner may connect again. */
  readonly reconnectGraceMs: number
  /** `rebase`: local commits of the checkout are kept on top of the commit. */
  readonly sync: 'exact' | 'rebase'
  readonly onFailure: 'rollback' | 'stop'
  /** Who deploys, for others: the run's address. */
  readonly run: string
  readonly actor: string
  /** Polls the health of the app on a server; undefined where nothing is to be checked. */
  readonly health: ((server: Reconnecting, cwd: string, context: Context) => Promise<PollResult>) | undefined
}

/** What a deploy has done to one host. */
export interface HostOutcome {
  readonly host: string
  readonly sha: string
  readonly previous: string | null
  readonly changed: boolean
  readonly rolledBack: boolean
  readonly result: HistoryEntry['result']
  /** The commit that is up now; null where that is not known. */
  readonly runs: string | null
  readonly logPath: string
  readonly durationMs: number
  readonly health: string
  readonly failure: Failure | undefined
}

/** Whether a deploy finds its commit up already, as it seems, by the same commands. Pure. */
export function isUpAlready(plan: DeployPlan, { head, changedFiles, history }: Survey): boolean {
  const newest = history.at(-1)
  return (
    head === (newest?.head ?? plan.sha) &&
    changedFiles.length === 0 &&
    newest?.result === 'ok' &&
    newest.sha === plan.sha &&
    newest.commands === commandsDigest(plan) &&
    // Their values are kept nowhere, so that nobody can tell whether they are the same.
    Object.keys(plan.env).length === 0
  )
}

/** Digest of the commands; values of `env` are not part of it, since nothing of them may be kept. */
export function commandsDigest({ build, up, sync }: DeployPlan): string {
  return createHash('sha256')
    .update(JSON.stringify([build, up, sync]))
    .digest('hex')
    .slice(0, 16)
}
