import { Failure } from '../failure.ts'
import type { InputReader } from '../runner/input-reader.ts'
import type { Credentials } from '../ssh/connect.ts'
import type { TrustedFingerprint } from '../ssh/host-keys.ts'
import { parseKnownHosts } from '../ssh/known-hosts.ts'
import { readPrivateKey } from '../ssh/private-key.ts'
import { formatTarget, isUserName, parsePort, parseTarget, type Target } from '../ssh/target.ts'

/** The SSH inputs of an action that works on `host`. */
export interface SshInputs {
  readonly hosts: readonly Target[]
  readonly credentials: Credentials
}

/** Reads `host` and all SSH inputs of an action that logs in to each host. */
export function readSshInputs(read: InputReader): SshInputs {
  const hosts = readHosts(read, { required: true })
  return { hosts, credentials: readCredentials(read, hosts) }
}

/** Reads `host`: a line or a comma each. Where nobody logs in, no user need be named. */
export function readHosts(
  read: InputReader,
  { required, login = true }: { required: boolean; login?: boolean },
): Target[] {
  const user = read.text('user')
  if (user !== '' && !isUserName(user)) read.problem('user', `is '${user}', not a user name`)
  const texts = read.lines('host').flatMap((line) =>
    line
      .split(',')
      .map((item) => item.trim())
      .filter(Boolean),
  )
  if (texts.length === 0 && required) read.problem('host', 'is required and empty')
  const hosts = texts.flatMap((text) => readTarget(read, 'host', text, login ? '' : 'nobody'))
  const names = hosts.map(formatTarget)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) read.problem('host', `names ${twice} twice`)
  return hosts
}

/** One `[user@]host[:port]` in an input, with the defaults of `user` and `port`; [] where it is none. */
export function readTarget(read: InputReader, input: string, text: string, fallbackUser = ''): Target[] {
  const port = parsePort(read.text('port')) ?? 22
  const target = parseTarget(text, { user: read.text('user') || fallbackUser, port })
  if (typeof target !== 'string') return [target]
  read.problem(input, target)
  return []
}

/**
 * Key, host keys, jump host and timeout. `required: false` is for actions that log in for some uses only: the inputs
 * are checked all the same, and the credentials come only with a key.
 */
export function readCredentials(read: InputReader, targets: readonly Target[]): Credentials
export function readCredentials(
  read: InputReader,
  targets: readonly Target[],
  options: { required: boolean },
): Credentials | undefined
export function readCredentials(
  read: InputReader,
  targets: readonly Target[],
  { required }: { required: boolean } = { required: true },
): Credentials | undefined {
  const port = read.text('port')
  if (port !== '' && parsePort(port) === undefined) read.problem('port', `is '${port}', not a port (1-65535)`)
  const passphrase = read.secret('passphrase')
  const key = readKey(read, 'private-key', passphrase, required)
  const jumpText = read.optional('jump')
  const jumpTarget = jumpText === undefined ? undefined : readTarget(read, 'jump', jumpText)[0]
  const jumpKey = readKey(read, 'jump-private-key', passphrase, false) ?? key
  if (jumpText === undefined && read.text('jump-private-key') !== '') {
    read.problem('jump-private-key', 'is given without `jump`')
  }
  const { entries, problems } = parseKnownHosts(read.text('known-hosts'))
  for (const problem of problems) read.problem('known-hosts', problem)
  const fingerprints = readFingerprints(read, targets, jumpTarget !== undefined)
  if (entries.length > 0 && fingerprints.length > 0) {
    read.problem('host-fingerprint', 'and `known-hosts` are both given: give one of them')
  }
  const connectTimeoutMs = read.duration('connect-timeout')
  const jump = jumpTarget && jumpKey ? { target: jumpTarget, key: jumpKey } : undefined
  // A required key that is missing or broken has been noted as a problem: these credentials are never used.
  if (key === undefined) return undefined as unknown as Credentials
  return { key, hostKeys: { knownHosts: entries, fingerprints }, jump, connectTimeoutMs }
}

function readKey(read: InputReader, name: string, passphrase: string, required: boolean) {
  const text = read.secret(name, { required })
  if (text === '') return undefined
  try {
    return readPrivateKey(text, passphrase)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { seen, hint } = error.details
    read.problem(name, `${error.message}${seen ? ` (${seen})` : ''}: ${hint}`)
    return undefined
  }
}

function readFingerprints(
  read: InputReader,
  targets: readonly Target[],
  jump: boolean,
): TrustedFingerprint[] {
  return read.lines('host-fingerprint').flatMap((line) => {
    const match = /^(?:(\S+)\s+)?(SHA256:[A-Za-z0-9+/]{43})=?$/.exec(line)
    if (!match?.[2]) {
      read.problem('host-fingerprint', `'${line}' is not '<host> SHA256:...' (as ssh-keygen -lf prints it)`)
      return []
    }
    if (match[1] === undefined && (targets.length !== 1 || jump)) {
      read.problem('host-fingerprint', `'${line}' must begin with the host it belongs to`)
    }
    return [{ host: match[1], fingerprint: match[2] }]
  })
}
