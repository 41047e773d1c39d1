import { Buffer } from 'node:buffer'
import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ConsulClient, unexpected } from './client.ts'

export interface KvEntry {
  readonly key: string
  readonly value: string
  /** Grows with every write; what compare-and-swap compares. */
  readonly modifyIndex: number
  /** Stays the same as long as the key is not deleted. */
  readonly createIndex: number
  /** How often it has been locked. */
  readonly lockIndex: number
  /** The session that holds it as a lock, if one does. */
  readonly session: string | undefined
}

/** One operation of a transaction. */
export type KvOperation =
  | { readonly verb: 'check-session'; readonly key: string; readonly session: string }
  | { readonly verb: 'check-index'; readonly key: string; readonly index: number }
  /** Index 0: only if the key does not exist. */
  | { readonly verb: 'cas'; readonly key: string; readonly value: string; readonly index: number }
  | { readonly verb: 'set'; readonly key: string; readonly value: string }
  | { readonly verb: 'delete'; readonly key: string }
  | { readonly verb: 'delete-cas'; readonly key: string; readonly index: number }

/** What a refused transaction says: which operation, counted from 0, and why. */
export interface Conflict {
  readonly index: number
  readonly what: string
}

/** More operations than this are refused by Consul. */
export const MOST_OPERATIONS = 64

/** All entries below a prefix, sorted by key; with a default read, which never misses an acknowledged write. */
export async function listEntries(
  client: ConsulClient,
  prefix: string,
  context: Context,
): Promise<KvEntry[]> {
  const answer = await client.read(`${pathOf(prefix)}?recurse`, context)
  if (answer.status === 404) return []
  if (answer.status !== 200) throw unexpected(`Consul cannot list the keys below ${prefix}`, answer)
  return parseEntries(answer.text, answer.url)
}

/** One entry, undefined where there is none (or where the token may not see it: Consul answers 404 then, too). */
export async function readEntry(
  client: ConsulClient,
  key: string,
  context: Context,
): Promise<KvEntry | undefined> {
  const answer = await client.read(pathOf(key), context)
  if (answer.status === 404) return undefined
  if (answer.status !== 200) throw unexpected(`Consul cannot read the key ${key}`, answer)
  return parseEntries(answer.text, answer.url)[0]
}

/** Takes a lock: true when the session holds the key afterwards. */
export async function acquire(
  client: ConsulClient,
  key: string,
  session: string,
  value: string,
  context: Context,
): Promise<boolean> {
  const answer = await client.write(
    'PUT',
    `${pathOf(key)}?acquire=${encodeURIComponent(session)}`,
    value,
    context,
  )
  if (answer.status !== 200) throw unexpected(`Consul cannot lock the key ${key}`, answer)
  return answer.text.trim() === 'true'
}

/**
 * Does all operations or none. Returns the conflicts when it was refused, [] when it was done.
 * @throws AmbiguousAnswer when it is not known which
 */
export async function transact(
  client: ConsulClient,
  operations: readonly KvOperation[],
  context: Context,
): Promise<Conflict[]> {
  if (operations.length > MOST_OPERATIONS) throw new TypeError('too many operations for one transaction')
  const body = JSON.stringify(operations.map(wireForm))
  const answer = await client.write('PUT', '/v1/txn', body, context)
  if (answer.status === 200) return []
  if (answer.status !== 409) throw unexpected('Consul refuses a transaction', answer)
  const { Errors } = JSON.parse(answer.text) as { Errors?: { OpIndex?: number; What?: string }[] }
  const conflicts = (Errors ?? []).map(({ OpIndex, What }) => ({ index: OpIndex ?? -1, what: What ?? '' }))
  const denied = conflicts.find(({ what }) => /permission denied/i.test(what))
  if (denied || conflicts.length === 0) {
    const key = operations[denied?.index ?? -1]?.key
    throw new Failure('Consul denies a write', {
      host: answer.url,
      seen: `${key ?? 'transaction'}: ${denied?.what ?? answer.text.slice(0, 300)}`,
      hint: 'give the token of `consul-token` the policy that the README of the action shows',
    })
  }
  return conflicts
}

/**
 * Whether the token may read the key. Plain reads answer as if there were nothing there; a transaction that compares
 * an index tells.
 */
export async function mayRead(client: ConsulClient, key: string, context: Context): Promise<boolean> {
  const body = JSON.stringify([wireForm({ verb: 'check-index', key, index: 0 })])
  const answer = await client.write('PUT', '/v1/txn', body, context)
  return !/permission denied/i.test(answer.text)
}

function wireForm(operation: KvOperation): object {
  const { verb, key } = operation
  return {
    KV: {
      Verb: verb,
      Key: key,
      ...('value' in operation ? { Value: Buffer.from(operation.value).toString('base64') } : {}),
      ...('index' in operation ? { Index: operation.index } : {}),
      ...('session' in operation ? { Session: operation.session } : {}),
    },
  }
}

function pathOf(key: string): string {
  return `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`
}

function parseEntries(text: string, url: string): KvEntry[] {
  let rows: unknown
  try {
    rows = JSON.parse(text)
  } catch {
    rows = undefined
  }
  if (!Array.isArray(rows)) {
    throw new Failure('this does not answer as Consul does', {
      host: url,
      seen: text.slice(0, 200),
      hint: 'check `consul-url`: the address of the HTTP API, without /v1',
    })
  }
  const entries = rows as {
    Key: string
    Value: string | null
    ModifyIndex: number
    CreateIndex: number
    LockIndex: number
    Session?: string
  }[]
  return entries.map(({ Key, Value, ModifyIndex, CreateIndex, LockIndex, Session }) => ({
    key: Key,
    value: Buffer.from(Value ?? '', 'base64').toString('utf8'),
    modifyIndex: ModifyIndex,
    createIndex: CreateIndex,
    lockIndex: LockIndex,
    session: Session,
  }))
}
