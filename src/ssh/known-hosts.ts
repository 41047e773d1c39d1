import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** One line of a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). */
export interface KnownHost {
  readonly marker: 'cert-authority' | 'revoked' | undefined
  /** Comma-separated patterns, or one hashed name (`|1|salt|hash`). */
  readonly names: string
  readonly type: string
  readonly key: Buffer
}

/** Parses known_hosts text; `problems` names each line that is not one. */
export function parseKnownHosts(text: string): { entries: KnownHost[]; problems: string[] } {
  const entries: KnownHost[] = []
  const problems: string[] = []
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const fields = line.split(/\s+/)
    const marker = fields[0]?.startsWith('@') ? fields.shift() : undefined
    const [names, type, encoded] = fields
    if (marker !== undefined && marker !== '@cert-authority' && marker !== '@revoked') {
      problems.push(`line ${index + 1}: unknown marker ${marker}`)
    } else if (names === undefined || type === undefined || encoded === undefined) {
      problems.push(`line ${index + 1} is not '<host> <key type> <key>' (as ssh-keyscan prints it)`)
    } else {
      const key = Buffer.from(encoded, 'base64')
      if (keyType(key) !== type) problems.push(`line ${index + 1}: the key is not a whole ${type} key`)
      else entries.push({ marker: marker?.slice(1) as KnownHost['marker'], names, type, key })
    }
  }
  return { entries, problems }
}

/** The type that a public key in SSH wire format begins with (RFC 4253, 6.6), or '' when it is none. */
export function keyType(key: Buffer): string {
  if (key.length < 8) return ''
  const length = key.readUInt32BE(0)
  return length <= 64 && key.length > 4 + length ? key.toString('latin1', 4, 4 + length) : ''
}

/** `SHA256:...` as ssh-keygen -lf prints it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** The name under which OpenSSH looks a server up: the port is part of it where it is not 22. */
export function knownHostsName(host: string, port: number): string {
  const name = host.toLowerCase()
  return port === 22 ? name : `[${name}]:${port}`
}

/** Whether a line is about this server. */
export function matchesHost(entry: KnownHost, host: string, port: number): boolean {
  const name = knownHostsName(host, port)
  if (entry.names.startsWith('|')) return matchesHashed(entry.names, name)
  let matched = false
  for (const pattern of entry.names.toLowerCase().split(',')) {
    const negated = pattern.startsWith('!')
    if (!globMatches(negated ? pattern.slice(1) : pattern, name)) continue
    if (negated) return false
    matched = true
  }
  return matched
}

/** OpenSSH's HashKnownHosts: HMAC-SHA1 of the name, keyed by the salt. */
function matchesHashed(names: string, name: string): boolean {
  const [, version, salt, hash] = names.split('|')
  if (version !== '1' || salt === undefined || hash === undefined) return false
  const wanted = Buffer.from(hash, 'base64')
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest()
  return wanted.length === actual.length && timingSafeEqual(wanted, actual)
}

/** `*` and `?` as in ssh_config(5), without backtracking into earlier stars, so that no pattern takes long. */
function globMatches(pattern: string, name: string): boolean {
  let at = 0
  let inPattern = 0
  let star = -1
  let resume = 0
  while (at < name.length) {
    const wanted = pattern[inPattern]
    if (wanted === '*') {
      star = inPattern++
      resume = at
    } else if (wanted === '?' || wanted === name[at]) {
      inPattern++
      at++
    } else if (star >= 0) {
      inPattern = star + 1
      at = ++resume
    } else {
      return false
    }
  }
  return /^\**$/.test(pattern.slice(inPattern))
}
