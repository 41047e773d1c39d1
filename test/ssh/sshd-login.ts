// How a test logs in to a server of its own.
import type { Credentials } from '../../src/ssh/connect.ts'
import { parseKnownHosts } from '../../src/ssh/known-hosts.ts'
import { readPrivateKey } from '../../src/ssh/private-key.ts'
import type { Target } from '../../src/ssh/target.ts'
import type { Sshd } from '../bed/sshd.ts'

export function targetOf({ host, port, user }: Sshd): Target {
  return { host, port, user }
}

/** With its client key, its host keys known; or those of other `known_hosts` lines. */
export function credentialsFor(sshd: Sshd, knownHosts = sshd.knownHostsLines): Credentials {
  return {
    key: readPrivateKey(sshd.clientKey.privateKey, ''),
    hostKeys: { knownHosts: parseKnownHosts(knownHosts).entries, fingerprints: [] },
    jump: undefined,
    connectTimeoutMs: 10_000,
  }
}
