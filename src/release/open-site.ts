import type { Context } from '../context.ts'
import type { Connection } from '../ssh/connection.ts'
import { NoShell, type OpeningBlock } from '../ssh/remote-shell.ts'
import { onEach } from './deployment.ts'
import { ShellSite } from './shell-site.ts'
import type { BeginOptions, SiteHost, SiteSettings } from './site-host.ts'
import type { Opened } from './site-state.ts'

/**
 * A site on a server, through a shell there, at work on `opening` if that is given; or through SFTP, where the server runs no
 * commands for this user.
 */
export async function openSite(
  connection: Connection,
  settings: SiteSettings,
  context: Context,
  opening?: OpeningBlock,
): Promise<SiteHost> {
  try {
    return await ShellSite.open(connection, settings, context, opening)
  } catch (error) {
    if (!(error instanceof NoShell)) throw error
    return openByFiles(connection, settings, context)
  }
}

/**
 * Takes the lock of each host, and begins there. Of two runs over the same hosts each could get one of them and wait for
 * the other's: so the first of all, in an order that is the same in every run, comes before the others, which come at
 * once. Some servers start a command only to end it with a word about SFTP: such a host is replaced in the list by one
 * that works through SFTP.
 */
export async function beginOn(hosts: SiteHost[], options: BeginOptions, context: Context): Promise<Opened[]> {
  const begin = async (host: SiteHost, index: number) => {
    try {
      return await host.begin(options, context)
    } catch (error) {
      if (!(error instanceof NoShell)) throw error
    }
    const other = await openByFiles(host.connection, host.settings, context)
    hosts[index] = other
    return other.begin(options, context)
  }
  const first = firstOf(hosts)
  const ahead = begin(hosts[first] as SiteHost, first)
  await ahead
  return onEach(hosts, (host, index) => (index === first ? ahead : begin(host, index)))
}

/** Index of the one that comes first by its address. */
function firstOf(hosts: readonly SiteHost[]): number {
  const addresses = hosts.map(({ connection }, index) => ({ ...connection.target, index }))
  addresses.sort((a, b) => (a.host === b.host ? a.port - b.port : a.host < b.host ? -1 : 1))
  return addresses[0]?.index ?? 0
}

/** Loaded where it is needed, which is seldom. */
async function openByFiles(
  connection: Connection,
  settings: SiteSettings,
  context: Context,
): Promise<SiteHost> {
  const { SftpSite } = await import('./sftp-site.ts')
  return SftpSite.open(connection, settings, context)
}
