import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { ConsulClient } from './client.ts'
import { OWN_ROOT } from './journal.ts'
import { type KvEntry, listEntries, mayRead } from './kv.ts'
import { formatNode, type NodeAddress, parseAddress } from './node-address.ts'
import { parseValue } from './upstream-value.ts'

/** A node of an upstream as Consul has it. */
export interface UpstreamNode extends NodeAddress {
  /** `<ip>:<port>` */
  readonly address: string
  readonly key: string
  readonly value: string
  readonly modifyIndex: number
  readonly down: boolean
  /** The drain of ours that it is in, if any. */
  readonly owner: string | undefined
}

/** Checks the name of an upstream; returns what is wrong with it, or undefined. */
export function upstreamProblem(upstream: string): string | undefined {
  if (!/^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*$/.test(upstream)) {
    return `is '${upstream}': write the path of the keys, such as upstreams/app, without a slash at its end`
  }
  if (upstream === OWN_ROOT || upstream.startsWith(`${OWN_ROOT}/`)) {
    return `is '${upstream}': keys below ${OWN_ROOT}/ are the suite's own`
  }
  return undefined
}

/**
 * Reads the nodes of an upstream, by address. Throws when anything below the prefix is not what upsync can use
 * safely: an address that is not canonical, or a value that is not valid.
 */
export async function readUpstream(
  client: ConsulClient,
  upstream: string,
  context: Context,
): Promise<ReadonlyMap<string, UpstreamNode>> {
  const prefix = `${upstream}/`
  const entries = await listEntries(client, prefix, context)
  const problems: string[] = []
  const nodes = new Map<string, UpstreamNode>()
  for (const entry of entries) {
    // The folder itself, as Consul's web page makes it; upsync passes it over.
    if (entry.key === prefix) continue
    const node = parseNode(prefix, entry)
    if (typeof node === 'string') problems.push(node)
    else nodes.set(node.address, node)
  }
  if (problems.length > 0) {
    throw new Failure(`some keys of ${upstream} are not safe to work with`, {
      seen: problems.map((problem) => `\n  - ${problem}`).join(''),
      state: 'nothing was changed.',
      hint: 'put these keys right in Consul: nginx-upsync skips, misreads or even crashes on them',
    })
  }
  if (nodes.size === 0) {
    if (!(await mayRead(client, `${prefix}0.0.0.0:1`, context))) {
      throw new Failure(`Consul denies reading the keys below ${prefix}`, {
        seen: 'they look as if there were none',
        state: 'nothing was changed.',
        hint: 'give a token as `consul-token` with the policy that the README of the action shows',
      })
    }
    throw new Failure(`Consul has no nodes below ${upstream}/`, {
      state: 'nothing was changed.',
      hint: 'check `upstream`',
    })
  }
  return nodes
}

function parseNode(prefix: string, { key, value, modifyIndex, session }: KvEntry): UpstreamNode | string {
  const name = key.slice(prefix.length)
  const parsed = parseAddress(name)
  if (parsed === undefined) {
    return `${JSON.stringify(key)}: '${name}' is not <ip>:<port> in its plain form (IPv4, no leading zeros)`
  }
  const state = parseValue(value)
  if (typeof state === 'string') return `${key}: its value ${state}: ${value.slice(0, 100)}`
  if (session !== undefined) {
    return `${key}: a session holds this key as a lock, and its end can delete the backend`
  }
  return { ...parsed, address: formatNode(parsed), key, value, modifyIndex, ...state }
}
