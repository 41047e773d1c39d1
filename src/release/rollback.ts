import { Failure } from '../failure.ts'
import type { ReleaseInfo } from './site-state.ts'

/** A host as a rollback finds it. */
export interface Standing {
  readonly name: string
  /** Release that is served, undefined when there is none of ours. */
  readonly current: string | undefined
  /** Newest first. */
  readonly releases: readonly ReleaseInfo[]
}

/**
 * The release to go back to, one for all hosts: the one named, or the one that the served one replaced. Throws,
 * listing what there is, when a host does not have it. Pure.
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
  const each = hosts.map((host) => {
    const before = host.releases.find(({ id }) => id === host.current)?.before
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
      state: 'nothing was changed.',
      hint: 'name the release in `to`',
    },
  )
}

function listing({ releases, current }: Standing): { seen: string; state: string; hint: string } {
  const list = releases.map(({ id, state }) => {
    const notes = [id === current ? 'served now' : '', state === 'failed' ? 'failed' : ''].filter(Boolean)
    return notes.length > 0 ? `${id} (${notes.join(', ')})` : id
  })
  return {
    seen: `there are, newest first: ${list.join(', ') || 'none'}`,
    state: 'nothing was changed.',
    hint: 'name one of these in `to`',
  }
}
