import { Failure } from '../failure.ts'
import { fingerprint, type KnownHost, keyType, knownHostsName, matchesHost } from './known-hosts.ts'
import { formatAddress } from './target.ts'

/** A fingerprint that the user vouches for; without a host it stands for the only one. */
export interface TrustedFingerprint {
  readonly host: string | undefined
  readonly fingerprint: string
}

/** What is known of the servers' keys. One of the two is empty. */
export interface HostKeys {
  readonly knownHosts: readonly KnownHost[]
  readonly fingerprints: readonly TrustedFingerprint[]
}

export type Verdict = 'trusted' | 'unknown' | 'mismatch' | 'revoked'

/** Algorithms that prove possession of a key of each type. SHA-1 (`ssh-rsa`) is left out on purpose. */
const ALGORITHMS: Record<string, readonly string[]> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
}

/** Looks an offered key up. Pure: no key is ever learnt. */
export function judgeHostKey(known: HostKeys, host: string, port: number, key: Buffer): Verdict {
  const same = (entry: KnownHost) => entry.key.equals(key)
  const revoked = known.knownHosts.filter((entry) => entry.marker === 'revoked' && same(entry))
  if (revoked.some((entry) => matchesHost(entry, host, port) || matchesHost(entry, host, 22)))
    return 'revoked'
  const about = entriesAbout(known, host, port)
  if (about.some((entry) => entry.marker === undefined && same(entry))) return 'trusted'
  const trusted = fingerprintsFor(known, host, port)
  if (trusted.includes(fingerprint(key))) return 'trusted'
  return trusted.length > 0 || about.some((entry) => entry.marker === undefined) ? 'mismatch' : 'unknown'
}

/**
 * The host key algorithms to negotiate, as attempts to make one after the other. Only types that known_hosts has for
 * the host are offered (an ed25519 offer would fail a file that knows only RSA); a fingerprint does not tell its
 * type, so each is tried.
 */
export function hostKeyAttempts(known: HostKeys, host: string, port: number): string[][] {
  const types = entriesAbout(known, host, port)
    .filter((entry) => entry.marker === undefined)
    .map((entry) => entry.type)
  const algorithms = Object.entries(ALGORITHMS)
  const wanted = algorithms.filter(([type]) => types.includes(type)).flatMap(([, names]) => names)
  if (wanted.length > 0) return [wanted]
  if (fingerprintsFor(known, host, port).length === 0) return [algorithms.flatMap(([, names]) => names)]
  const isEcdsa = (name: string) => name.startsWith('ecdsa')
  return [
    ['ssh-ed25519'],
    algorithms.flatMap(([, names]) => names).filter(isEcdsa),
    [...(ALGORITHMS['ssh-rsa'] ?? [])],
  ]
}

/** The error for a key that is not trusted. A mismatch never shows a line to paste. */
export function hostKeyFailure(
  verdict: Exclude<Verdict, 'trusted'>,
  known: HostKeys,
  host: string,
  port: number,
  key: Buffer,
): Failure {
  const address = formatAddress(host, port)
  const type = keyType(key)
  const seen = `the server offers the ${type} key ${fingerprint(key)}`
  const file = `/etc/ssh/ssh_host_${type.replace(/^ssh-|-sha2-nistp\d+$/g, '')}_key.pub`
  const compare = `on the server's own console (not over this network) run: ssh-keygen -lf ${file}`
  const state = 'nothing was sent to the server and nothing was changed.'
  if (verdict === 'unknown') {
    const authorities = entriesAbout(known, host, port).some((entry) => entry.marker === 'cert-authority')
    return new Failure('the host key is not known', {
      host: address,
      seen,
      state,
      hint: [
        `${compare}; if it prints the same fingerprint, add this line to the input 'known-hosts':`,
        `${knownHostsName(host, port)} ${type} ${key.toString('base64')}`,
        ...(authorities
          ? ['(A @cert-authority line cannot be used: host certificates are not supported.)']
          : []),
      ].join('\n'),
    })
  }
  const expected =
    verdict === 'revoked'
      ? 'known-hosts marks this very key as @revoked'
      : `expected ${expectedFingerprints(known, host, port).join(' or ')}`
  return new Failure(verdict === 'revoked' ? 'the host key is revoked' : 'THE HOST KEY HAS CHANGED', {
    host: address,
    seen: `${seen}; ${expected}`,
    state,
    hint:
      'somebody may be between you and the server, or the server was set up anew. Do not go on until its owner ' +
      `confirms the key: ${compare}`,
  })
}

function expectedFingerprints(known: HostKeys, host: string, port: number): string[] {
  const lines = entriesAbout(known, host, port).filter((entry) => entry.marker === undefined)
  return [
    ...lines.map((entry) => `${entry.type} ${fingerprint(entry.key)}`),
    ...fingerprintsFor(known, host, port),
  ]
}

/** As OpenSSH: the name with its port first; a line without a port counts only where there is none with it. */
function entriesAbout(known: HostKeys, host: string, port: number): KnownHost[] {
  const lines = known.knownHosts.filter((entry) => entry.marker !== 'revoked')
  const exact = lines.filter((entry) => matchesHost(entry, host, port))
  return exact.length > 0 || port === 22 ? exact : lines.filter((entry) => matchesHost(entry, host, 22))
}

function fingerprintsFor(known: HostKeys, host: string, port: number): string[] {
  const names = [host.toLowerCase(), formatAddress(host, port).toLowerCase(), knownHostsName(host, port)]
  return known.fingerprints
    .filter((line) => line.host === undefined || names.includes(line.host.toLowerCase()))
    .map((line) => line.fingerprint)
}
