import type { Context } from '../context.ts'
import { Failure, type FailureDetails } from '../failure.ts'
import type { ByteString } from '../ssh/byte-string.ts'
import type { Connection } from '../ssh/connection.ts'
import { quote } from '../ssh/quote.ts'
import type { Comparison } from './comparison.ts'
import type { Manifest } from './manifest.ts'
import type { Opened } from './site-state.ts'
import type { SourceTree } from './source-tree.ts'

/** `atomic`: releases and a link; `in-place`: files straight in the target. */
export type SiteMode = 'atomic' | 'in-place'

export interface SiteSettings {
  readonly mode: SiteMode
  /** The site's root on the server. */
  readonly target: string
  /** Who works here, for others who find it locked: the run's address. */
  readonly holder: string
  /** Random, of this step: its settle phase knows its own remains by it. */
  readonly token: string
  /** Changes nothing, takes no lock. */
  readonly dryRun: boolean
  /** Inputs of this step that only a shell on the server can meet, for a login that has none. */
  readonly needsShell: readonly string[]
}

/**
 * What tells how a server stands: `stored`, the list that the last upload left there; `listed`, a look at the folder
 * as well; `hashed`, the content of every file.
 */
export type Look = 'stored' | 'listed' | 'hashed'

export interface BeginOptions {
  /** To be started where it is not there. */
  readonly release?: string
  readonly lockWaitMs: number
  /** Token of a run whose remains may be swept away. */
  readonly own?: string
  readonly look?: Look
}

/** What is done in the same round trip as the last step before it. */
export interface Ending {
  readonly activate: boolean
  /** Confirm it, prune, and give the lock back. */
  readonly finish: boolean
  readonly keep?: number | undefined
}

/** A release to bring. */
export interface SendPlan {
  readonly release: string
  readonly comparison: Comparison
  /** What lies there, or in the release that the new one is made from. */
  readonly opened: Opened
  readonly tree: SourceTree
  /** Time of every file sent, in Unix seconds. */
  readonly mtime: number
  readonly site: Manifest
  /** `user:group`, '' to leave it. */
  readonly owner: string
  readonly linked: readonly string[]
  /** What pages of this release may still name after it was replaced; undefined where nothing is kept. */
  readonly keepAssets: ((path: ByteString) => boolean) | undefined
}

export interface SendResult {
  readonly bytesOnWire: number
  /** How it travelled: the compression, or `sftp`. */
  readonly codec: string
  readonly lanes: number
  readonly filesSent: number
  readonly sentMs: number
  readonly verifiedMs: number
}

/** A site on one server, locked by this step from `begin` on, and what a deployment needs of it. */
export interface SiteHost {
  readonly connection: Connection
  readonly settings: SiteSettings
  readonly name: string
  readonly mode: SiteMode
  /** Text of the link `current` as last seen. */
  readonly current: ByteString
  /** False where everything goes through SFTP. */
  readonly hasShell: boolean
  /** How `publish` checks what has arrived. */
  readonly verifies: 'contents' | 'sizes'
  /**
   * Takes the lock, waiting for it where asked, reads how the site stands, and starts the release. Throws `NoShell`,
   * with nothing changed, where the login cannot be worked with in this way.
   */
  begin(options: BeginOptions, context: Context): Promise<Opened>
  /**
   * Brings what the comparison asks for, beside what is served, checks what has arrived against what was sent, and makes
   * it a release; then what `ending` says.
   */
  bring(plan: SendPlan, ending: Ending, context: Context): Promise<SendResult>
  /** Removes what has arrived of a release that cannot come to its end. */
  discard(release: string): Promise<void>
  /** Notes that commands may change a release's files: what it holds is not what was uploaded then. */
  noteAltered(release: string): Promise<void>
  /** Points `current` at a release, noting where to go back to until `confirm`. */
  activate(release: string, noteBefore: boolean): Promise<void>
  /** Both at once, where nothing has to be looked at between them. */
  activateAndConfirm(release: string, noteBefore: boolean, keep?: number): Promise<void>
  /** Undoes an activation that is not confirmed; does nothing where there is none. */
  goBack(): Promise<void>
  /** From here on the release stands. */
  confirm(release: string): Promise<void>
  /** Confirms, and ends the work here: older releases beyond `keep` go, where it is given, and so does the lock. */
  finish(release: string, keep?: number): Promise<void>
  /** Gives the lock back and ends the connection; what a cancel broke off is not waited for long. */
  close(): Promise<void>
}

/** The failure for whoever finds the site locked. */
export function lockedFailure(host: string, holder: string, waitedMs: number): Failure {
  return new Failure('another deploy of this site is at work', {
    host,
    seen: `the lock is held by ${holder || 'a run that left no name'}`,
    state: 'this step changed nothing.',
    hint:
      waitedMs === 0
        ? 'wait for it and run again, or set `lock-wait`'
        : 'look at that run; its lock ends with it, or soon after its runner has gone',
  })
}

/** How things stand and what to do about a failure on the server, as far as its text tells. */
export function adviceFor(text: string, target: string): Pick<FailureDetails, 'state' | 'hint'> {
  const hint = hintFor(text, target)
  return WRONG_CONTENT.test(text) ? { state: 'nothing was activated.', hint } : { hint }
}

/** Whether a failure's text says that the disk is full. */
export const isFull = (text: string) => /no space left|disk quota/i.test(text)

const WRONG_CONTENT = /content that arrived|instead of/

function hintFor(text: string, target: string): string {
  if (isFull(text)) return 'free some space there, or keep fewer releases (`keep-releases`)'
  if (/cannot be read/.test(text)) return 'let the deploy user read it there, or take it away'
  if (/permission denied|not permitted|read-only/i.test(text)) {
    return `let the deploy user write there: on the server, chown it to that user, for example: sudo install -d -o USER ${quote(target)}`
  }
  if (/not a symbolic link/.test(text))
    return 'move it away: the action makes it a link to the release that is served'
  if (/not from an upload/.test(text)) return 'choose another `release`, or move that folder away'
  if (WRONG_CONTENT.test(text))
    return 'run the job again: it goes by the content of what is there, which also puts right what was changed by hand in the release before; `verify: full` does so from the start'
  return 'look at the folder on the server, then run the job again'
}
