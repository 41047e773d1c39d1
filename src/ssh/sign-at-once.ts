import type { Client, ParsedKey } from 'ssh2'

type Sign = (data: Buffer, done: (signature: Buffer) => void) => void

/** The part of ssh2's inner parts that is used here. */
interface Protocol {
  authPK(user: string, key: ParsedKey, algorithm: string | undefined, sign?: Sign): void
}

const HASHES: Readonly<Record<string, string>> = {
  'ssh-rsa': 'sha1',
  'rsa-sha2-256': 'sha256',
  'rsa-sha2-512': 'sha512',
}

/**
 * Lets a login by key begin with the signature (RFC 4252, section 7). ssh2 asks first whether the key would do, which
 * costs a round trip and is of use only where signing is dear or several keys are tried.
 */
export function signAtOnce(client: Client): void {
  const protocol = (client as unknown as { _protocol?: Protocol })._protocol
  if (typeof protocol?.authPK !== 'function') return
  const authPK = protocol.authPK.bind(protocol)
  protocol.authPK = (user, key, algorithm, sign) => {
    const signature = (data: Buffer): Buffer => {
      const hash = algorithm === undefined ? undefined : HASHES[algorithm]
      const signed: unknown = (key.sign as (data: Buffer, hash?: string) => unknown)(data, hash)
      if (signed instanceof Error) throw signed
      return signed as Buffer
    }
    authPK(user, key, algorithm, sign ?? ((data, done) => done(signature(data))))
  }
}
