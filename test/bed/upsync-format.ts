// How nginx-upsync-module reads Consul's keys and shows its peers (as measured with its revision 801bc5d).
import { isIPv4 } from 'node:net'

export interface Peer {
  address: string
  weight: number
  maxFails: number
  failTimeout: number
  down: boolean
}

/** The page for a name that is no upstream; its status is 200. */
export const unknownUpstream = 'The upstream you requested does not exist, Please check the upstream name'

/** The module's page for one upstream. */
export function statusText(app: string, peers: Peer[]): string {
  const lines = peers.map(
    ({ address, weight, maxFails, failTimeout, down }) =>
      `        server ${address} weight=${weight} max_fails=${maxFails} fail_timeout=${failTimeout}s${down ? ' down' : ''};\n`,
  )
  return `Upstream name: ${app}; Backend server count: ${peers.length}\n${lines.join('')}`
}

/**
 * The peers of an upstream from the rows of `?recurse`. Keys that the module skips, and what would overrun or
 * corrupt its memory (values of 1,024 bytes and more, one address twice), are left out and complained about.
 */
export function peersOf(
  prefix: string,
  rows: { Key: string; Value: string | null }[],
): { peers: Peer[]; complaints: string[] } {
  const peers: Peer[] = []
  const complaints: string[] = []
  for (const { Key, Value } of rows) {
    const value = Buffer.from(Value ?? '', 'base64').toString()
    const [, ip = '', port = ''] = /^(?:.*\/)?([^/:]+):(\d+)$/.exec(Key.slice(prefix.length)) ?? []
    const address = `${ip}:${Number(port)}`
    if (!isIPv4(ip) || Number(port) > 65535 || Number(port) < 1) complaints.push(`invalid address: ${Key}`)
    else if (Buffer.byteLength(value) >= 1024) complaints.push(`value too long: ${Key}`)
    else if (peers.some((peer) => peer.address === address)) complaints.push(`address twice: ${Key}`)
    else peers.push({ address, ...attributesOf(value) })
  }
  return { peers, complaints }
}

/** Anything that is not valid JSON means the defaults, and so: up. */
function attributesOf(value: string): Omit<Peer, 'address'> {
  const fields = fieldsOf(value)
  const number = (name: string, fallback: number): number => {
    const read = integer(fields[name])
    return read === undefined || read < 0 ? fallback : read
  }
  return {
    weight: number('weight', 1) || 1,
    maxFails: number('max_fails', 2),
    failTimeout: number('fail_timeout', 10),
    down: fields['down'] === true || integer(fields['down']) === 1,
  }
}

function fieldsOf(value: string): Record<string, unknown> {
  try {
    // The module's parser takes leading zeros, which JSON forbids.
    const parsed: unknown = JSON.parse(value.replace(/(:\s*-?)0+(?=\d)/g, '$1'))
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** As C's atoi and a cast do: `"1"`, 1.5 are 1; `"true"`, 0.5 are 0. */
function integer(value: unknown): number | undefined {
  if (typeof value === 'number') return Math.trunc(value)
  if (typeof value === 'string') return Number.parseInt(value, 10) || 0
  return undefined
}
