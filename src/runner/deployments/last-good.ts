import type { DeploymentRecord } from './record.ts'

export interface LastGood {
  readonly chosen: DeploymentRecord | undefined
  /** What runs now, as far as it is known. */
  readonly current: string | undefined
  /** Versions that were good once and are passed over because an earlier one was brought back after them. */
  readonly left: readonly string[]
}

/**
 * Finds the version to go back to.
 *
 * The rule. A record is *good* when its newest verdict (success, failure or error, anywhere in its history) is
 * success: a superseded deployment reads `inactive`, so its latest status tells nothing. A *version* is the release,
 * for `git` the commit (a rollback builds it anew). What runs now is `current`, or else the version of the newest
 * good record. Bringing a version back *leaves* every record between its first good one and its last: a rollback
 * needs no mark of its own, it is enough that its record names the version that was brought back. The answer is the
 * newest good record that is neither of the current version nor left.
 *
 * So after A, B, C: back to B; after A, B, C, B (rolled back): back to A and not to C; after A, B, C, B, A: nothing,
 * C is not chosen again by itself. Named and brought back (A, B, C, B, C), C is current and the answer is B. Given
 * as `current`, a version counts as brought back just now: a rollback whose record was never written is no way back
 * to what it left.
 *
 * @param records newest first.
 * @param isGood asks for a record's history. Asked only where the answer depends on it.
 */
export async function findLastGood(
  records: readonly DeploymentRecord[],
  given: string | undefined,
  isGood: (record: DeploymentRecord) => Promise<boolean>,
): Promise<LastGood> {
  const answers = new Map<number, Promise<boolean>>()
  const good = (record: DeploymentRecord) => {
    const answer = answers.get(record.id) ?? isGood(record)
    answers.set(record.id, answer)
    return answer
  }
  /** Index of the oldest good record, after `index`, that matches; `index` when there is none. */
  const oldest = async (index: number, matches: (record: DeploymentRecord) => boolean) => {
    for (let at = records.length - 1; at > index; at--) {
      const record = records[at]
      if (record && matches(record) && (await good(record))) return at
    }
    return index
  }

  let current = given
  const isCurrent = (record: DeploymentRecord) =>
    current !== undefined &&
    (versionOf(record) === current || (record.sha === current && given !== undefined))
  // Everything before this index has been left.
  let leftUntil = given === undefined ? -1 : await oldest(-1, isCurrent)
  const left = new Set<string>()
  for (const [index, record] of records.entries()) {
    if (isCurrent(record)) continue
    const version = versionOf(record)
    if (index >= leftUntil) {
      if (!(await good(record))) continue
      if (current !== undefined) return { chosen: record, current, left: [...left] }
      current = version
      leftUntil = await oldest(index, isCurrent)
    } else if (await good(record)) {
      left.add(record.release)
      leftUntil = Math.max(leftUntil, await oldest(leftUntil, (other) => versionOf(other) === version))
    }
  }
  return { chosen: undefined, current, left: [...left] }
}

const MAX_LISTED = 20

/**
 * The newest good record of a release or, given a full commit id, of a commit; where there is none, the releases
 * that are good (the newest 20; of kind git their commits), as what could be named instead.
 */
export async function findVersion(
  records: readonly DeploymentRecord[],
  version: string,
  isGood: (record: DeploymentRecord) => Promise<boolean>,
): Promise<{ chosen: DeploymentRecord | undefined; good: readonly string[] }> {
  for (const record of records) {
    if ((record.release === version || record.sha === version) && (await isGood(record))) {
      return { chosen: record, good: [] }
    }
  }
  const good = new Set<string>()
  for (const record of records) {
    if (good.size === MAX_LISTED) break
    if (!good.has(versionOf(record)) && (await isGood(record))) good.add(versionOf(record))
  }
  return { chosen: undefined, good: [...good] }
}

const versionOf = (record: DeploymentRecord) => (record.kind === 'git' ? record.sha : record.release)
