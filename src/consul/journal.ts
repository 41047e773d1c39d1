import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { ConsulClient } from './client.ts'
import { listEntries } from './kv.ts'
import { parseAddress } from './node-address.ts'
import { parseValue } from './upstream-value.ts'

/** How far a drained node has got. `restarting`: the command may or may not have run. */
export type JournalStep = 'drained' | 'restarting' | 'restarted' | 'failed'

/** What a drain leaves in Consul until it is undone. */
export interface JournalEntry {
  /** The drain's id, also in the node's value. */
  readonly id: string
  readonly address: string
  /** `held` drains outlive the run that made them; the others are an open account. */
  readonly held: boolean
  readonly step: JournalStep
  /** The node's value before the drain. */
  readonly original: string
  /** What the node runs once it is restarted; '' where that is not known. */
  readonly release: string
  /** The unit that restarts it, from the step `restarting` on. */
  readonly unit?: string
  /** The session of the lease under which it was written. */
  readonly session: string
  readonly holder: string
  /** ISO time. */
  readonly at: string
}

/** Where the suite keeps its own keys for an upstream: never below the prefix that upsync reads. */
export interface OwnKeys {
  readonly lock: string
  journal(address: string): string
  readonly journalPrefix: string
  release(address: string): string
  readonly releasePrefix: string
}

export const OWN_ROOT = 'evenkeel'

export function ownKeys(upstream: string): OwnKeys {
  const root = `${OWN_ROOT}/${upstream}`
  return {
    lock: `${root}/lock`,
    journalPrefix: `${root}/journal/`,
    journal: (address) => `${root}/journal/${address}`,
    releasePrefix: `${root}/releases/`,
    release: (address) => `${root}/releases/${address}`,
  }
}

/** All entries of an upstream's journal. Throws when one of them is not what the suite writes. */
export async function readJournal(
  client: ConsulClient,
  upstream: string,
  context: Context,
): Promise<JournalEntry[]> {
  const { journalPrefix } = ownKeys(upstream)
  const entries = await listEntries(client, journalPrefix, context)
  return entries.map(({ key, value }) => {
    const entry = parseJournalEntry(value)
    if (entry !== undefined && entry.address === key.slice(journalPrefix.length)) return entry
    throw new Failure('an entry of the journal in Consul is damaged', {
      seen: `${key}: ${value.slice(0, 300)}`,
      hint: 'see whether that node is drained, put its value right by hand, and delete this key',
    })
  })
}

/** The release that each node got last, by address. */
export async function readReleases(
  client: ConsulClient,
  upstream: string,
  context: Context,
): Promise<Map<string, string>> {
  const { releasePrefix } = ownKeys(upstream)
  const entries = await listEntries(client, releasePrefix, context)
  return new Map(entries.map(({ key, value }) => [key.slice(releasePrefix.length), value]))
}

/** Checks all that is read back: the entry decides what is written to the node's key. */
export function parseJournalEntry(text: string): JournalEntry | undefined {
  let entry: Partial<Record<keyof JournalEntry, unknown>>
  try {
    entry = JSON.parse(text) as typeof entry
  } catch {
    return undefined
  }
  const texts = ['id', 'address', 'original', 'release', 'session', 'holder', 'at'] as const
  const steps: readonly unknown[] = ['drained', 'restarting', 'restarted', 'failed']
  if (typeof entry !== 'object' || entry === null) return undefined
  if (texts.some((name) => typeof entry[name] !== 'string')) return undefined
  if (typeof entry.held !== 'boolean' || !steps.includes(entry.step)) return undefined
  if (entry.unit !== undefined && !/^[A-Za-z0-9._+-]{1,200}$/.test(String(entry.unit))) return undefined
  const { address, original } = entry as JournalEntry
  if (parseAddress(address) === undefined) return undefined
  const value = parseValue(original)
  return typeof value === 'string' || value.down ? undefined : (entry as JournalEntry)
}
