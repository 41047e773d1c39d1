import { parseDomain } from '../../dns/domain-name.ts'
import { parseDnsUrl } from '../../dns/providers/rfc2136-server.ts'
import { TSIG_ALGORITHMS, type TsigKey } from '../../dns/tsig.ts'
import type { InputReader } from '../../runner/input-reader.ts'

export interface TsigCredentials {
  /** `dns://<ip or host>[:port]`, or empty. */
  readonly apiUrl: string
  readonly tsig: TsigKey
}

/** What RFC 2136 needs; what belongs to other providers only is refused. */
export function readTsigCredentials(read: InputReader): TsigCredentials {
  if (read.secret('token') !== '')
    read.problem('token', 'belongs to other providers: rfc2136 has `tsig-name` and `tsig-secret`')
  const apiUrl = read.text('api-url')
  if (apiUrl !== '' && parseDnsUrl(apiUrl) === undefined)
    read.problem(
      'api-url',
      `is '${apiUrl}': for rfc2136 write dns://<ip or host>[:<port>] of the zone's primary`,
    )
  const tsig = {
    name: readName(read),
    algorithm: readAlgorithm(read),
    secret: readSecret(read),
  }
  return { apiUrl, tsig }
}

/** For every other provider: its key is a token. */
export function refuseTsigCredentials(read: InputReader, provider: string): void {
  const why = `belongs to rfc2136 only: ${provider} has \`token\``
  if (read.text('tsig-name') !== '') read.problem('tsig-name', why)
  if (read.secret('tsig-secret') !== '') read.problem('tsig-secret', why)
  if (read.text('tsig-algorithm') !== TSIG_ALGORITHMS[0]) read.problem('tsig-algorithm', why)
}

function readName(read: InputReader): string {
  const text = read.required('tsig-name')
  const name = parseDomain(text)
  if (text !== '' && name === undefined)
    read.problem(
      'tsig-name',
      `is '${text}', which is no name of a key: the server's configuration has it, without quotes`,
    )
  return name ?? 'invalid'
}

function readAlgorithm(read: InputReader): TsigKey['algorithm'] {
  if (/^hmac-md5/i.test(read.text('tsig-algorithm'))) {
    read.problem(
      'tsig-algorithm',
      'is hmac-md5, which is broken: make a new key (tsig-keygen -a hmac-sha256)',
    )
    return TSIG_ALGORITHMS[0]
  }
  return read.choice('tsig-algorithm', TSIG_ALGORITHMS)
}

function readSecret(read: InputReader): Buffer {
  const text = read.secret('tsig-secret', { required: true }).trim()
  const isBase64 = text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)
  if (text !== '' && !isBase64) {
    const what = /secret|algorithm|:/.test(text)
      ? ' (only what stands between the quotes after `secret`)'
      : ''
    read.problem('tsig-secret', `is not base64: give the key's secret as tsig-keygen prints it${what}`)
  }
  return Buffer.from(text, 'base64')
}
