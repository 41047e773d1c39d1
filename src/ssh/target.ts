import { isIP } from 'node:net'

/** A server to log in to. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly user: string
}

const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/
const USER_NAME = /^[A-Za-z0-9_][A-Za-z0-9._@+-]*\$?$/

/** A port number of decimal digits, or undefined. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined
  const port = Number(text)
  return port <= 65_535 ? port : undefined
}

/**
 * Parses `[user@]host[:port]` with IPv6 in brackets. Returns what is wrong as a string, so that the caller can
 * report all bad inputs together.
 */
export function parseTarget(text: string, defaults: { user: string; port: number }): Target | string {
  const at = text.lastIndexOf('@')
  const user = at < 0 ? defaults.user : text.slice(0, at)
  const address = at < 0 ? text : text.slice(at + 1)
  if (user === '') return `'${text}' names no user: write user@${address} or set the input 'user'`
  if (!isUserName(user)) return `'${text}': '${user}' is not a user name`

  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:]+))(?::(.*))?$/.exec(address)
  if (!match) {
    const hint = isIP(address) === 6 ? `write IPv6 in brackets: [${address}]` : 'write [user@]host[:port]'
    return `'${text}' is not a host: ${hint}`
  }
  const host = match[1] ?? match[2] ?? ''
  if (match[1] !== undefined ? isIP(host) !== 6 : !isHostName(host)) {
    return `'${text}' is not a host: write a name or an IP address`
  }
  const port = match[3] === undefined ? defaults.port : parsePort(match[3])
  if (port === undefined) return `'${text}': '${match[3]}' is not a port (1-65535)`
  return { host, port, user }
}

/** Whether a text can be a login name (never an option, never shell syntax). */
export function isUserName(text: string): boolean {
  return USER_NAME.test(text)
}

function isHostName(text: string): boolean {
  // Digits and dots alone must be a whole IPv4 address: `10.0.0` would be resolved to 10.0.0.0's neighbour.
  return /^[\d.]+$/.test(text) ? isIP(text) === 4 : HOST_NAME.test(text)
}

/** `user@host` with the port where it is not 22, as one would type it. */
export function formatTarget({ host, port, user }: Target): string {
  return `${user}@${formatAddress(host, port)}`
}

/** `host`, `host:port` or `[v6]:port`; the port is left out where it is 22. */
export function formatAddress(host: string, port: number): string {
  const bracketed = isIP(host) === 6 ? `[${host}]` : host
  return port === 22 ? bracketed : `${bracketed}:${port}`
}
