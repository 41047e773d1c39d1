import { Failure } from '../failure.ts'
import type { ReleaseInfo } from './site-state.ts'

/** A host as a rollback finds it. */
export interface Standing {
  readonly name: string
  /** Release that was served at the beginning, undefined when there was none of ours. */
  readonly found: string | undefined
  /** The same once what a dead run left is repaired. */
  readonly current: string | undefined
  /** Newest first. */
  readonly releases: readonly ReleaseInfo[]
}

/**
 * The release to go back to, one for all hosts: the one named, or the one that the served one replaced. Where the
 * repair has made that very step on some host, it leads no further. Throws, listing what there is, when a host does not
 * have it. Pure.
 */
export function chooseRelease(to: string, hosts: readonly Standing[]): string {
  const release = to === 'previous' ? previousOf(hosts) : to
  for (const host of hosts) {
    if (host.releases.some(({ id }) => id === release)) continue
    throw new Failure(`there is no release '${release}'`, { ...listing(host), host: host.name })
  }
  return release
}

function previousOf(hosts: readonly Standing[]): string {
  // A repair that undoes a dead rollback leads the other way: it is not what was asked for.
  const isDone = hosts.some(
    (host) => host.current !== host.found && host.current === replacedBy(host.found, host),
  )
  const each = hosts.map((host) => {
    const before = isDone ? host.current : replacedBy(host.current, host)
    if (before !== undefined) return before
    throw new Failure(
      host.current === undefined
        ? 'no release is served, so none comes before it'
        : `no release is known that '${host.current}' replaced`,
      { ...listing(host), host: host.name },
    )
  })
  const [first] = each
  if (first !== undefined && each.every((one) => one === first)) return first
  throw new Failure(
    "the hosts do not have the same release before the one they serve: 'previous' is not clear",
    {
      seen: hosts.map(({ name }, index) => `${name}: ${each[index]}`).join('; '),
      state: untouched(hosts.some(({ current, found }) => current !== found)),
      hint: 'name the release in `to`',
    },
  )
}

function replacedBy(release: string | undefined, { releases }: Standing): string | undefined {
  return releases.find(({ id }) => id === release)?.before
}

function listing({ releases, current, found }: Standing): { seen: string; state: string; hint: string } {
  const list = releases.map(({ id, state }) => {
    const notes = [id === current ? 'served now' : '', state === 'failed' ? 'failed' : ''].filter(Boolean)
    return notes.length > 0 ? `${id} (${notes.join(', ')})` : id
  })
  return {
    seen: `there are, newest first: ${list.join(', ') || 'none'}`,
    state: untouched(current !== found),
    hint: 'name one of these in `to`',
  }
}

const untouched = (isRepaired: boolean) =>
  isRepaired ? 'beyond the repair of what a dead run left, nothing was changed.' : 'nothing was changed.'
