import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { hostKeyAttempts, hostKeyFailure, judgeHostKey } from '../../src/ssh/host-keys.ts'
import { fingerprint, type KnownHost, parseKnownHosts } from '../../src/ssh/known-hosts.ts'

function publicKey(type: string, seed: number): Buffer {
  const name = Buffer.from(type)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(name.length)
  return Buffer.concat([length, name, Buffer.alloc(40, seed)])
}
const ED = publicKey('ssh-ed25519', 1)
const OTHER_ED = publicKey('ssh-ed25519', 2)
const RSA = publicKey('ssh-rsa', 3)
const line = (names: string, key: Buffer, marker = '') =>
  `${marker}${names} ${key.toString('latin1', 4, 4 + key.readUInt32BE(0))} ${key.toString('base64')}`

function hashed(name: string): string {
  const salt = Buffer.alloc(20, 7)
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`
}
function known(...lines: string[]) {
  const { entries, problems } = parseKnownHosts(lines.join('\n'))
  expect(problems).toEqual([])
  return { knownHosts: entries, fingerprints: [] }
}

test.each([
  ['plain name', line('web1', ED), 'web1', 22, 'trusted'],
  ['case does not matter', line('WEB1', ED), 'Web1', 22, 'trusted'],
  ['one of several names', line('web0,web1', ED), 'web1', 22, 'trusted'],
  ['pattern', line('*.example.com', ED), 'web1.example.com', 22, 'trusted'],
  ['a dot in a pattern is a dot', line('web1.example', ED), 'web1xexample', 22, 'unknown'],
  ['negated pattern', line('*.example.com,!web1.example.com', ED), 'web1.example.com', 22, 'unknown'],
  ['hashed name', line(hashed('web1'), ED), 'web1', 22, 'trusted'],
  ['hashed name with port', line(hashed('[web1]:2222'), ED), 'web1', 2222, 'trusted'],
  ['hashed name of another host', line(hashed('web2'), ED), 'web1', 22, 'unknown'],
  ['name with port', line('[web1]:2222', ED), 'web1', 2222, 'trusted'],
  ['name with another port', line('[web1]:2223', ED), 'web1', 2222, 'unknown'],
  ['name without port, as OpenSSH', line('web1', ED), 'web1', 2222, 'trusted'],
  ['another key', line('web1', OTHER_ED), 'web1', 22, 'mismatch'],
  ['another type', line('web1', RSA), 'web1', 22, 'mismatch'],
  [
    'another key for that port, this one without',
    `${line('[web1]:2222', OTHER_ED)}\n${line('web1', ED)}`,
    'web1',
    2222,
    'mismatch',
  ],
  ['another host', line('web2', ED), 'web1', 22, 'unknown'],
  ['revoked', `${line('web1', ED)}\n${line('web1', ED, '@revoked ')}`, 'web1', 22, 'revoked'],
  ['revoked for all', `${line('[web1]:2222', ED)}\n${line('*', ED, '@revoked ')}`, 'web1', 2222, 'revoked'],
  ['certificate authority alone', line('web1', ED, '@cert-authority '), 'web1', 22, 'unknown'],
] as const)('known_hosts: %s', (_name, text, host, port, verdict) => {
  expect(judgeHostKey(known(text), host, port, ED)).toBe(verdict)
})

test('a fingerprint counts for its host, and without a host for the only one', () => {
  const own = (host: string | undefined, key: Buffer) => ({
    knownHosts: [],
    fingerprints: [{ host, fingerprint: fingerprint(key) }],
  })
  expect(judgeHostKey(own('web1', ED), 'web1', 22, ED)).toBe('trusted')
  expect(judgeHostKey(own('web1:2222', ED), 'web1', 2222, ED)).toBe('trusted')
  expect(judgeHostKey(own('[web1]:2222', ED), 'web1', 2222, ED)).toBe('trusted')
  expect(judgeHostKey(own(undefined, ED), 'web1', 22, ED)).toBe('trusted')
  expect(judgeHostKey(own('web1', RSA), 'web1', 22, ED)).toBe('mismatch')
  expect(judgeHostKey(own('web2', ED), 'web1', 22, ED)).toBe('unknown')
})

test('only the key types that are known for the host are negotiated, and never SHA-1', () => {
  expect(hostKeyAttempts(known(line('web1', RSA)), 'web1', 22)).toEqual([['rsa-sha2-512', 'rsa-sha2-256']])
  expect(hostKeyAttempts(known(line('web1', ED)), 'web1', 22)).toEqual([['ssh-ed25519']])
  expect(hostKeyAttempts(known(line('web2', ED)), 'web1', 22).flat()).toContain('ecdsa-sha2-nistp256')
  expect(hostKeyAttempts(known(line('web2', ED)), 'web1', 22).flat()).not.toContain('ssh-rsa')
})

test('bad lines are named by number, good ones still read', () => {
  const text = `# comment\n\n${line('web1', ED)}\nweb1 ssh-ed25519\nweb1 ssh-rsa ${ED.toString('base64')}\n@what web1 x y`
  const { entries, problems } = parseKnownHosts(text)
  expect(entries).toHaveLength(1)
  expect(problems.map((problem) => problem.slice(0, 6))).toEqual(['line 4', 'line 5', 'line 6'])
})

test('an unknown key is shown with the line to add, a changed one never', () => {
  const unknown = hostKeyFailure('unknown', known(), 'web1', 2222, ED).describe()
  expect(unknown).toContain(`[web1]:2222 ssh-ed25519 ${ED.toString('base64')}`)
  expect(unknown).toContain(fingerprint(ED))
  expect(unknown).toContain('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub')
  const changed = hostKeyFailure('mismatch', known(line('web1', OTHER_ED)), 'web1', 22, ED).describe()
  expect(changed).toContain(fingerprint(ED))
  expect(changed).toContain(fingerprint(OTHER_ED))
  expect(changed).not.toContain(ED.toString('base64'))
})

test('a line that only names an authority says why it does not help', () => {
  const text = hostKeyFailure(
    'unknown',
    known(line('web1', ED, '@cert-authority ')),
    'web1',
    22,
    ED,
  ).describe()
  expect(text).toMatch(/certificates are not supported/)
})

test('a pattern cannot be made into an expensive expression', () => {
  const entry: KnownHost = { marker: undefined, names: `${'*a'.repeat(40)}`, type: 'ssh-ed25519', key: ED }
  expect(judgeHostKey({ knownHosts: [entry], fingerprints: [] }, 'a'.repeat(60), 22, ED)).toBe('trusted')
  expect(judgeHostKey({ knownHosts: [entry], fingerprints: [] }, `${'a'.repeat(60)}b`, 22, ED)).toBe(
    'unknown',
  )
})
