// A certificate authority of the tests' own, and what it issues; by openssl.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Issued {
  /** Paths of PEM files. */
  readonly certificate: string
  readonly key: string
}

export interface Authority {
  /** The authority's certificate: path of a PEM file, and its text. */
  readonly path: string
  readonly pem: string
  /** A certificate for these names. */
  issue(names: readonly string[], days?: number): Issued
  remove(): void
}

const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'

export function makeAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-authority-'))
  const file = (name: string) => join(folder, name)
  const openssl = (command: string) => execFileSync('openssl', command.split(' '), { stdio: 'pipe' })
  openssl(`req -x509 ${newKey} -days 30 -subj /CN=authority -keyout ${file('ca.key')} -out ${file('ca.pem')}`)
  let issued = 0
  return {
    path: file('ca.pem'),
    pem: readFileSync(file('ca.pem'), 'utf8'),
    issue: (names, days = 30) => {
      const [key, request, certificate, extensions] = ['key', 'csr', 'pem', 'ext'].map((end) =>
        file(`${issued}.${end}`),
      ) as [string, string, string, string]
      issued++
      writeFileSync(extensions, `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}\n`)
      openssl(`req ${newKey} -subj /CN=${names[0]} -keyout ${key} -out ${request}`)
      openssl(
        `x509 -req -in ${request} -CA ${file('ca.pem')} -CAkey ${file('ca.key')} -CAcreateserial -days ${days} -extfile ${extensions} -out ${certificate}`,
      )
      return { key, certificate }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
