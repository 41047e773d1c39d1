import type { Place } from '../runner/deployments/deployments.ts'
import { KINDS } from '../runner/deployments/record.ts'
import type { InputReader } from '../runner/input-reader.ts'

/** Reads `environment` and `kind`. */
export function readPlace(read: InputReader): Place {
  const environment = read.required('environment')
  if (environment.length > 255 || /\p{Cc}/u.test(environment)) {
    read.problem('environment', 'is not a name of one line with at most 255 characters')
  }
  return { environment, kind: read.choice('kind', KINDS) }
}

/** Reads `github-token`. */
export function readToken(read: InputReader): string {
  const token = read.secret('github-token', { required: true }).trim()
  if (/[^\x21-\x7e]/.test(token))
    read.problem('github-token', 'is not a token: it holds blanks or characters that no token has')
  return token
}
