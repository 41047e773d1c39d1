// A second server for a site: the same root, and another folder there.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Sshd } from '../bed/sshd.ts'
import { type GatedSshd, startGatedSshd } from './static-gates.ts'
import { linkOf, type StaticSite } from './static-site.ts'

export interface SecondHost {
  readonly gated: GatedSshd
  readonly sshd: Sshd
  /** What its sessions see at the site's root. */
  readonly folder: string
  /** The inputs by which an action works on both. */
  readonly both: { readonly host: string; readonly 'known-hosts': string }
  /** What is served, on the first and on the second. */
  pages(): string[]
  links(): (string | undefined)[]
}

/** Starts it; it goes with the test. */
export async function secondHost(site: StaticSite): Promise<SecondHost> {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-second-'))
  const apart = process.getuid?.() === 0 ? 'unshare -m' : 'unshare -rm'
  const gated = await startGatedSshd({
    host: '127.0.0.2',
    config: [
      `ForceCommand exec ${apart} sh -c 'mount --bind ${folder} ${site.target} && eval "$SSH_ORIGINAL_COMMAND"'`,
    ],
  })
  const { sshd } = gated
  sshd.addClientKey(site.sshd.clientKey.publicKey)
  onTestFinished(async () => {
    await gated.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  const roots = [site.target, folder]
  return {
    gated,
    sshd,
    folder,
    both: {
      host: `${site.inputs()['host']}\n${sshd.user}@${sshd.host}:${sshd.port}`,
      'known-hosts': site.sshd.knownHostsLines + sshd.knownHostsLines,
    },
    pages: () => roots.map((root) => readFileSync(join(root, 'current/index.html'), 'utf8')),
    links: () => roots.map(linkOf),
  }
}
