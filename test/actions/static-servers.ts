// Servers of a test's own, some with mounts that only they see.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { onTestFinished } from 'vitest'
import { findProgram } from '../bed/packages.ts'
import { type SshdOptions, startSshd } from '../bed/sshd.ts'
import { type Files, StaticSite } from './static-site.ts'

export const isRoot = process.getuid?.() === 0

/** Sessions to which no file of others is open, as root's own would be; an ordinary user takes the right from the folder instead. */
export function asStranger(isSftp: boolean): string[] {
  const other = isRoot ? 'setpriv --bounding-set=-all --' : ''
  const server = findProgram('sftp-server').path
  const command = isSftp
    ? `test "$SSH_ORIGINAL_COMMAND" = ${server} && exec ${other} ${server} || exit 1`
    : `exec ${other} sh -c "$SSH_ORIGINAL_COMMAND"`
  return [`ForceCommand ${command}`]
}

/** A site on a server of this test alone. */
export async function siteOn(options: SshdOptions, files?: Files): Promise<StaticSite> {
  const sshd = await startSshd(options)
  const site = new StaticSite(sshd, files)
  onTestFinished(async () => {
    await sshd.stop()
    site.remove()
  })
  return site
}

/** What starts a server that alone sees a mount: `siteOn({ by })`. */
export function withMount(mount: string): string[] {
  return ['unshare', isRoot ? '-m' : '-rm', 'sh', '-c', `${mount} && exec "$@"`, 'sh']
}

/** A folder for the target, and a mount over it that only the server sees. */
export function mounted(mount: (folder: string) => string): { folder: string; by: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-mounted-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return { folder, by: withMount(mount(folder)) }
}
