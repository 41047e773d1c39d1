import { createPrivateKey } from 'node:crypto'
import ssh2, { type ParsedKey } from 'ssh2'
import { Failure } from '../failure.ts'

const KEEP = 'give the whole file, from -----BEGIN to -----END, as the secret'

/**
 * Reads a private key as people paste it: OpenSSH or PEM, CRLF, no final newline, literal `\n`, PKCS#8.
 * Throws a `Failure` that says what is wrong with the key; never shows a part of it.
 */
export function readPrivateKey(text: string, passphrase: string): ParsedKey {
  const repaired = repair(text)
  if (!/^-----BEGIN [A-Z0-9 ]+-----\n/.test(repaired)) {
    const what = /^(ssh-|ecdsa-)/.test(repaired) ? 'a public key' : 'not a private key'
    throw new Failure(`the private key is ${what}`, { hint: KEEP })
  }
  if (repaired.startsWith('-----BEGIN ENCRYPTED PRIVATE KEY') && passphrase === '') throw needsPassphrase()
  const parsed = ssh2.utils.parseKey(fromPkcs8(repaired, passphrase), passphrase || undefined)
  if (!(parsed instanceof Error)) {
    const key = Array.isArray(parsed) ? parsed[0] : parsed
    if (key?.isPrivateKey()) return key
    throw new Failure('the private key is a public key', { hint: KEEP })
  }
  if (/no passphrase given/i.test(parsed.message)) throw needsPassphrase()
  if (/bad passphrase|bad decrypt|integrity/i.test(parsed.message)) {
    throw new Failure("the input 'passphrase' does not fit the private key", {
      hint: 'check it with: ssh-keygen -y -f <key file>',
    })
  }
  throw new Failure('the private key cannot be read', {
    seen: parsed.message,
    hint: `${KEEP}. Its format must be OpenSSH or PEM; a key encrypted with chacha20 must be converted: ssh-keygen -p -Z aes256-ctr -f <key file>`,
  })
}

function needsPassphrase(): Failure {
  return new Failure('the private key needs a passphrase', {
    hint: "give it as the input 'passphrase' (from a secret), or use a deploy key without one",
  })
}

/** Undoes what secret stores and copy-and-paste do to a key's line ends. */
function repair(text: string): string {
  const lines = text.replaceAll('\r', '').replaceAll('\\n', '\n').trim()
  const flat = /^(-----BEGIN [A-Z0-9 ]+-----) (.+) (-----END [A-Z0-9 ]+-----)$/.exec(lines)
  return `${flat ? `${flat[1]}\n${flat[2]?.replaceAll(' ', '\n')}\n${flat[3]}` : lines}\n`
}

/** ssh2 reads no PKCS#8 (openssl's default since 3.0); the older PEM forms it does. */
function fromPkcs8(pem: string, passphrase: string): string {
  if (!/^-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.test(pem)) return pem
  try {
    const key = createPrivateKey({ key: pem, ...(passphrase === '' ? {} : { passphrase }) })
    const type = key.asymmetricKeyType === 'ec' ? 'sec1' : 'pkcs1'
    return key.export({ format: 'pem', type }) as string
  } catch (error) {
    throw new Failure('the private key is PKCS#8 and cannot be converted', {
      seen: error instanceof Error ? error.message : String(error),
      hint: 'check the passphrase, or make an OpenSSH key: ssh-keygen -t ed25519',
      cause: error,
    })
  }
}
