import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { parseDomain } from './domain-name.ts'

/** The only types that are ever written. */
export const RECORD_TYPES = ['A', 'AAAA', 'CNAME'] as const
export type RecordType = (typeof RECORD_TYPES)[number]

/** All records of one name and type, as a provider holds them. */
export interface RecordSet {
  /** Lower case, absolute, without the final dot. */
  readonly name: string
  /** Any type: those that are never written count when a change is planned. */
  readonly type: string
  /** Seconds, as it is served. */
  readonly ttl: number
  /** Set where the provider has chosen the TTL, and is to go on choosing it when it is written again. */
  readonly autoTtl?: true
  /** In their canonical form, for types that are written; as the provider gives them for others. */
  readonly values: readonly string[]
  /** Whether the provider answers with addresses of its own; undefined where it cannot. */
  readonly proxied?: boolean
  /** Why this set must not be written (locked, an alias, a weighted variant ...), to complete "it ...". */
  readonly obstacle?: string
}

/** One record set to be changed: nothing is written unless it holds `from` (or holds `to` already). */
export interface RecordChange {
  readonly name: string
  readonly type: RecordType
  readonly from: readonly string[]
  readonly to: readonly string[]
  /** Seconds to be written; default: the TTL it has. */
  readonly ttl?: number
}

export const isRecordType = (text: unknown): text is RecordType => RECORD_TYPES.some((type) => type === text)

/** No machine can be reached there from elsewhere; loopback is left in for a resolver of one's own. */
const UNUSABLE = new BlockList()
UNUSABLE.addSubnet('0.0.0.0', 8, 'ipv4')
UNUSABLE.addSubnet('224.0.0.0', 3, 'ipv4')
UNUSABLE.addAddress('::', 'ipv6')
UNUSABLE.addSubnet('fe80::', 10, 'ipv6')
UNUSABLE.addSubnet('ff00::', 8, 'ipv6')

/** A value of a record in its canonical form; undefined when it is none of that type. */
export function parseValue(type: RecordType, text: string): string | undefined {
  switch (type) {
    case 'A':
      return isIPv4(text) && !UNUSABLE.check(text, 'ipv4') ? text : undefined
    case 'AAAA': {
      if (!isIPv6(text) || text.includes('%') || UNUSABLE.check(text, 'ipv6')) return undefined
      return new URL(`http://[${text}]`).hostname.slice(1, -1)
    }
    case 'CNAME': {
      const host = parseDomain(text)
      return host?.includes('.') && !isIPv4(host) ? host : undefined
    }
  }
}

/** Whether two lists hold the same values, in any order. */
export function sameValues(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && [...a].sort().join() === [...b].sort().join()
}

/** Whether two record sets of one name and type hold the same values under the same TTL, which a proxy chooses itself. */
export function isSameSet(a: RecordSet, b: RecordSet): boolean {
  const isProxied = a.proxied === true
  return (
    isProxied === (b.proxied === true) && (isProxied || a.ttl === b.ttl) && sameValues(a.values, b.values)
  )
}

export const formatValues = (values: readonly string[]): string =>
  values.length === 0 ? 'nothing' : values.join(', ')

/** Seconds, and whether the provider has chosen them. */
export const formatTtl = ({ ttl, autoTtl }: RecordSet): string => `${ttl}${autoTtl ? ' (auto)' : ''}`
