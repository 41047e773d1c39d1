import type { Context } from '../context.ts'
import type { ByteString } from '../ssh/byte-string.ts'
import { onEach, served } from './deployment.ts'
import type { SiteHost } from './site-host.ts'
import { releaseOf, type SiteState } from './site-state.ts'

export type Repair = 'none' | 'go back' | 'confirm'

/**
 * What each host needs after a run that died between activation and confirmation. Pure. Where some host has confirmed
 * the release, all had been found well: the others follow. Otherwise nobody knows: they go back.
 */
export function planRepair(
  states: readonly Pick<SiteState, 'pending' | 'current' | 'releases'>[],
): readonly Repair[] {
  return states.map(({ pending }) => {
    if (pending === undefined) return 'none'
    const confirmed = states.some(
      (other) =>
        other.pending === undefined &&
        releaseOf(other.current) === pending.release &&
        other.releases.some(({ id, state }) => id === pending.release && state === 'good'),
    )
    return confirmed ? 'confirm' : 'go back'
  })
}

/** The links as the repair will leave them. Pure. */
export function linksAfterRepair(
  states: readonly Pick<SiteState, 'pending' | 'current' | 'releases'>[],
): readonly ByteString[] {
  const repairs = planRepair(states)
  return states.map(({ pending, current }, index) => {
    const isSwapped = pending !== undefined && releaseOf(current) === pending.release
    return isSwapped && repairs[index] === 'go back' ? pending.returnTo : current
  })
}

/** Repairs what a dead run left, and says so. Resolves with the links as they are afterwards. */
export async function repair(
  hosts: readonly SiteHost[],
  states: readonly SiteState[],
  context: Context,
): Promise<readonly ByteString[]> {
  const repairs = planRepair(states)
  if (repairs.some((one) => one !== 'none')) {
    const mix = hosts.map(({ name, current }) => `${name} serves ${served(current)}`).join('; ')
    context.log.warn(`an earlier run died while it activated a release: ${mix}`)
  }
  await onEach(hosts, async (host, index) => {
    const pending = states[index]?.pending
    if (pending === undefined) return
    if (repairs[index] === 'confirm') await host.confirm(pending.release)
    else await host.goBack()
    context.log.info(`${host.name}: repaired, it serves ${served(host.current)}`)
  })
  return hosts.map(({ current }) => current)
}

/** Warns when hosts that should serve the same release do not. */
export function reportMix(hosts: readonly SiteHost[], context: Context): void {
  if (new Set(hosts.map(({ current }) => current)).size <= 1) return
  const mix = hosts.map(({ name, current }) => `${name} serves ${served(current)}`).join('; ')
  context.log.warn(`the hosts do not serve the same release: ${mix}`)
}
