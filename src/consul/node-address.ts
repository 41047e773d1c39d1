import { isIPv4 } from 'node:net'
import { parsePort } from '../ssh/target.ts'

/** A backend as upsync names it. */
export interface NodeAddress {
  readonly ip: string
  readonly port: number
}

/**
 * Parses `<ip>:<port>` in the one spelling that counts: upsync skips host names and IPv6, and takes two spellings of
 * one address (`:09001`, a nested key) for two peers, which corrupts the worker's peer list. Undefined when it is
 * anything else.
 */
export function parseAddress(text: string): NodeAddress | undefined {
  const colon = text.indexOf(':')
  const ip = text.slice(0, Math.max(colon, 0))
  const port = parsePort(text.slice(colon + 1))
  if (!isIPv4(ip) || port === undefined) return undefined
  return { ip, port }
}

export function formatNode({ ip, port }: NodeAddress): string {
  return `${ip}:${port}`
}
