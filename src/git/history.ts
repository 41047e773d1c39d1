/** One deploy as `<git dir>/evenkeel/history.jsonl` keeps it. No secrets. */
export interface HistoryEntry {
  readonly sha: string
  /** The commit that was up before; null where none is known. */
  readonly previous: string | null
  /** `ok`: up and not known to be unhealthy. `failed`: never chosen to go back to, until it is `ok` again. */
  readonly result: 'ok' | 'failed' | 'cancelled' | 'interrupted'
  /** The commit that was up afterwards; null where that is not known. */
  readonly runs: string | null
  /** What was checked out for it, where local commits were put on top of `sha`. */
  readonly head?: string
  /** When it began, ISO 8601. */
  readonly at: string
  readonly durationMs: number
  readonly actor: string
  readonly run: string
  readonly release: string
  /** Why it did not succeed. */
  readonly why?: string
  /** Digest of the commands, so that a change of them is noticed. */
  readonly commands: string
}

/** A deploy in progress as `<git dir>/evenkeel/current.json` keeps it. */
export interface Journal {
  /** The deploy that it belongs to. */
  readonly id: string
  readonly unit: string
  readonly purpose: 'deploy' | 'rollback'
  /** The commit that the deploy brings (also while going back from it). */
  readonly sha: string
  readonly previous: string | null
  /** The commit to go back to. */
  readonly wayBack: string | null
  readonly at: string
  readonly actor: string
  readonly run: string
  readonly release: string
  readonly commands: string
}

/** Parses a JSON line; undefined for a torn one (a full disk, a crash). */
export function parseEntry<T extends { sha: string }>(line: string): T | undefined {
  try {
    const entry = JSON.parse(line) as T
    return typeof entry.sha === 'string' && /^[0-9a-f]{40,64}$/.test(entry.sha) ? entry : undefined
  } catch {
    return undefined
  }
}

/** Commits whose last deploy failed. */
export function failedCommits(history: readonly HistoryEntry[]): Set<string> {
  const failed = new Set<string>()
  for (const { sha, head, result } of history) {
    for (const commit of head === undefined ? [sha] : [sha, head]) {
      if (result === 'failed') failed.add(commit)
      else if (result === 'ok') failed.delete(commit)
    }
  }
  return failed
}

/**
 * The commit that is up now, as far as is known: what the last deploy left there, or the checkout's HEAD where a
 * person (or nobody yet) has put it.
 */
export function commitUp(history: readonly HistoryEntry[], head: string | undefined): string | undefined {
  if (head === undefined) return undefined
  const failed = failedCommits(history)
  const known = history.some((entry) => [entry.sha, entry.previous, entry.head].includes(head))
  if (!known) return head
  const newest = history.findLast(
    ({ result, runs }) => result !== 'interrupted' && runs !== null && !failed.has(runs),
  )
  return newest?.runs ?? (failed.has(head) ? undefined : head)
}

/** The commit to go back to from `sha`: the last one that is good, never a failed one and never `sha` itself. */
export function wayBack(
  history: readonly HistoryEntry[],
  head: string | undefined,
  sha: string,
): string | undefined {
  const failed = failedCommits(history)
  const up = commitUp(history, head)
  const same = new Set([sha, ...history.flatMap((entry) => (entry.sha === sha ? (entry.head ?? []) : []))])
  const good = [
    up,
    ...history
      .filter(({ result }) => result === 'ok')
      .map((entry) => entry.head ?? entry.sha)
      .reverse(),
  ]
  return good.find((one) => one !== undefined && !same.has(one) && !failed.has(one))
}
