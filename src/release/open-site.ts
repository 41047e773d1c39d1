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
 * Begins on all hosts at once. Some servers start a command only to end it with a word about SFTP: such a host is
 * replaced in the list by one that works through SFTP.
 */
export async function beginOn(hosts: SiteHost[], options: BeginOptions, context: Context): Promise<Opened[]> {
  return onEach(hosts, async (host, index) => {
    try {
      return await host.begin(options, context)
    } catch (error) {
      if (!(error instanceof NoShell)) throw error
    }
    const other = await openByFiles(host.connection, host.settings, context)
    hosts[index] = other
    return other.begin(options, context)
  })
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
