import { nameInZone, parseDomain } from '../../dns/domain-name.ts'
import { type Endpoint, parseEndpoint } from '../../dns/query.ts'
import type { RecordChange } from '../../dns/record.ts'
import { parseRecordLines } from '../../dns/record-lines.ts'
import { type Prepared, parsePrepared, parseSnapshot } from '../../dns/snapshot.ts'
import { parseDuration } from '../../duration.ts'
import { parseStatusRanges, urlProblem } from '../../health/check.ts'
import type { HttpCheck } from '../../health/probe.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import { readTsigCredentials, refuseTsigCredentials, type TsigCredentials } from './credentials.ts'

const PROVIDERS = ['cloudflare', 'digitalocean', 'powerdns', 'rfc2136'] as const

/** The provider, with what it is reached by. */
export type DnsAccount =
  | {
      readonly provider: 'cloudflare' | 'digitalocean'
      readonly token: string
      /** Empty: the provider's own. */
      readonly apiUrl: string
    }
  | { readonly provider: 'powerdns'; readonly token: string; readonly apiUrl: string }
  | ({ readonly provider: 'rfc2136' } & TsigCredentials)

export interface DnsFlipInputs {
  readonly account: DnsAccount
  readonly zone: string
  readonly phase: 'flip' | 'prepare'
  readonly changes: readonly RecordChange[]
  /** Seconds. */
  readonly ttl: number | undefined
  /** What an earlier run with `phase: prepare` did. */
  readonly prepared: Prepared | undefined
  readonly canary: number
  /** Undefined where the new machines are not asked. */
  readonly check: HttpCheck | undefined
  readonly verify: string | undefined
  readonly afterFlip: string | undefined
  /** Empty: the zone's own. */
  readonly nameServers: readonly Endpoint[]
  readonly resolvers: readonly Endpoint[]
  readonly watchMs: number
  readonly onFailure: 'revert' | 'stop'
  readonly dryRun: boolean
}

export function readInputs(read: InputReader): DnsFlipInputs {
  const zone = readZone(read)
  const changes = readChanges(read, zone)
  return {
    account: readAccount(read),
    zone,
    changes,
    ...readLowering(read, zone, changes),
    canary: read.integer('canary', { min: 0, max: 500 }),
    check: readCheck(read),
    verify: read.optional('verify'),
    afterFlip: read.optional('after-flip'),
    nameServers: readEndpoints(read, 'nameservers'),
    resolvers: readEndpoints(read, 'resolvers'),
    watchMs: read.duration('watch'),
    onFailure: read.choice('on-failure', ['revert', 'stop']),
    dryRun: read.boolean('dry-run'),
  }
}

function readAccount(read: InputReader): DnsAccount {
  const provider = readProvider(read)
  if (provider === 'rfc2136') return { provider, ...readTsigCredentials(read) }
  refuseTsigCredentials(read, provider)
  return { provider, token: readToken(read), apiUrl: readApiUrl(read, provider) }
}

function readProvider(read: InputReader): DnsAccount['provider'] {
  if (read.required('provider') !== '') return read.choice('provider', PROVIDERS)
  return 'powerdns'
}

function readZone(read: InputReader): string {
  const text = read.required('zone')
  const zone = parseDomain(text)
  if (text !== '' && !zone?.includes('.'))
    read.problem('zone', `is '${text}', not a zone such as example.com`)
  return zone ?? 'invalid'
}

function readToken(read: InputReader): string {
  const token = read.secret('token', { required: true }).trim()
  if (/[^\x21-\x7e]/.test(token)) read.problem('token', 'holds blanks or characters that no token has')
  return token
}

/** The clouds have an address of their own. */
function readApiUrl(read: InputReader, provider: DnsAccount['provider']): string {
  const text = provider === 'powerdns' ? read.required('api-url') : read.text('api-url')
  if (text === '') return text
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    read.problem('api-url', 'is not an http:// or https:// URL')
  } else if (url.username || url.password || url.search || url.hash) {
    read.problem('api-url', 'must not hold a user, a password, a query or a fragment')
  }
  return text
}

/** `records`, or what `restore` brings back, limited to `names`. */
function readChanges(read: InputReader, zone: string): readonly RecordChange[] {
  const lines = read.lines('records')
  const snapshot = read.optional('restore')
  const names = readNames(read, zone)
  if (lines.length > 0 && snapshot !== undefined)
    read.problem('restore', 'and `records` are both given: give one of them')
  if (snapshot === undefined) {
    if (lines.length === 0)
      read.problem('records', 'is empty: write <name> <type> <old> -> <new>, a line each')
    if (names.length > 0) read.problem('names', 'limits what `restore` brings back, which is not given')
    const { changes, problems } = parseRecordLines(lines, zone)
    for (const problem of problems) read.problem('records', problem)
    return changes
  }
  const restored = parseSnapshot(snapshot, zone)
  if (typeof restored === 'string') {
    read.problem('restore', restored)
    return []
  }
  for (const name of names) {
    if (!restored.some((change) => change.name === name))
      read.problem('names', `has ${name}, which the snapshot has not`)
  }
  if (restored.length === 0)
    read.problem('restore', 'is a snapshot of no records: there is nothing to bring back')
  return names.length === 0 ? restored : restored.filter(({ name }) => names.includes(name))
}

/** The TTL while flipping, and what an earlier run has prepared. */
function readLowering(read: InputReader, zone: string, changes: readonly RecordChange[]) {
  const phase = read.choice('phase', ['flip', 'prepare'])
  const ttl = readTtl(read)
  const prepared = readPrepared(read, zone, changes)
  if (phase === 'prepare' && ttl === undefined)
    read.problem('ttl', 'is empty: it is what `phase: prepare` brings TTLs down to')
  if (read.text('restore') !== '') {
    if (phase === 'prepare')
      read.problem('phase', 'is prepare, which goes with `records`, not with `restore`')
    if (ttl !== undefined)
      read.problem('ttl', 'goes with `records`: `restore` brings back the TTLs of its snapshot')
    if (prepared) read.problem('prepared', 'goes with `records`, not with `restore`')
  }
  // What was prepared may not have been raised since.
  return { phase, ttl: ttl ?? prepared?.ttl, prepared }
}

/** A week, as most providers' highest. */
const MAX_TTL = 604_800

/** Seconds. */
function readTtl(read: InputReader): number | undefined {
  const text = read.optional('ttl')
  if (text === undefined) return undefined
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : (parseDuration(text) ?? 0) / 1_000
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= MAX_TTL) return seconds
  read.problem('ttl', `is '${text}': write seconds or a duration such as 60s or 5m, at most a week`)
  return undefined
}

function readPrepared(
  read: InputReader,
  zone: string,
  changes: readonly RecordChange[],
): Prepared | undefined {
  const text = read.optional('prepared')
  if (text === undefined) return undefined
  const prepared = parsePrepared(text, zone)
  if (typeof prepared === 'string') {
    read.problem('prepared', prepared)
    return undefined
  }
  const has = ({ name, type }: RecordChange) =>
    prepared.records.some((record) => record.name === name && record.type === type)
  if (changes.length > 0 && !changes.some(has)) read.problem('prepared', 'is of other names than `records`')
  if (prepared.safeFrom === undefined && read.text('phase') === 'flip') {
    read.problem(
      'prepared',
      'is of a run that did not come to its end: run `phase: prepare` again with it as `prepared`',
    )
  }
  return prepared
}

function readNames(read: InputReader, zone: string): string[] {
  return read.lines('names').flatMap((line) => {
    const name = nameInZone(line, zone)
    if (name === undefined) read.problem('names', `has '${line}', which is not a name of the zone ${zone}`)
    return name === undefined ? [] : [name]
  })
}

function readCheck(read: InputReader): HttpCheck | undefined {
  const url = read.text('verify-url')
  const expectStatus = parseStatusRanges(read.text('expect-status'))
  if (expectStatus === undefined) {
    read.problem('expect-status', `is '${read.text('expect-status')}': write 200, 200-399 or 200,301`)
  }
  const expectBody = read.optional('expect-body')
  if (url === '') return undefined
  const problem = urlProblem(url, ['name'])
  if (problem) read.problem('verify-url', problem)
  else if (!/^https?:\/\/\{name\}(?=[:/?]|$)/i.test(url)) {
    // With another host, an address above all, it would not be the live name at the new address that answers.
    read.problem('verify-url', "must have {name} as its host, as in 'https://{name}/health'")
  }
  return { kind: 'http', url, expectStatus: expectStatus ?? [], expectBody }
}

function readEndpoints(read: InputReader, input: string): Endpoint[] {
  return read.lines(input).flatMap((line) => {
    const endpoint = parseEndpoint(line)
    if (endpoint === undefined) read.problem(input, `has '${line}', which is not <ip> or <ip>:<port>`)
    return endpoint === undefined ? [] : [endpoint]
  })
}
