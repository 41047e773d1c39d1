// A slow link between two network namespaces, by the link emulator's scripts.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'

export interface Link {
  /** Namespace that the client's programs run in; undefined for loopback. */
  readonly client: string | undefined
  readonly server: string | undefined
  /** The server's address as the client sees it. */
  readonly address: string
  close(): void
}

export const loopback: Link = {
  client: undefined,
  server: undefined,
  address: '127.0.0.1',
  close: () => {},
}

/** Folder of `up.sh` and `down.sh`: LINK_EMULATOR, or beside the clone. */
const folder =
  process.env['LINK_EMULATOR'] ?? join(import.meta.dirname, '../../../shared/tools/link-emulator')

/** Why no link can be made here, or undefined. */
export function linkProblem(): string | undefined {
  if (!existsSync(join(folder, 'up.sh')))
    return `there is no link emulator in ${folder} (LINK_EMULATOR names another folder)`
  if (process.getuid?.() !== 0) return 'making network namespaces needs root'
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun'
  return undefined
}

let links = 0

/** A link with this rate in Mbit/s and this delay in ms each way. */
export function openLink(mbit: number, oneWayMs: number, queueBytes: number): Link {
  const subnet = 20 + (process.pid % 100) + links++
  const name = `ek${subnet}`
  const up = [join(folder, 'up.sh'), name, String(mbit), String(oneWayMs), String(queueBytes), String(subnet)]
  const pid = execFileSync('bash', up, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim()
  const link: Link = {
    client: `c${name}`,
    server: `s${name}`,
    address: `10.77.${subnet}.2`,
    close: () => {
      process.removeListener('exit', link.close)
      execFileSync('bash', [join(folder, 'down.sh'), name, pid], { stdio: 'ignore' })
    },
  }
  process.once('exit', link.close)
  return link
}
