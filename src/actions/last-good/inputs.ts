import type { Place } from '../../runner/deployments/deployments.ts'
import { isRelease } from '../../runner/deployments/record.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import { readPlace, readToken } from '../deployment-inputs.ts'

export interface LastGoodInputs {
  readonly token: string
  readonly place: Place
  /** A release, or a full commit id in lower case. */
  readonly current: string | undefined
  /** The version to find, a release or a full commit id in lower case. */
  readonly version: string | undefined
}

export function readInputs(read: InputReader): LastGoodInputs {
  const current = readVersion(read, 'current')
  const version = readVersion(read, 'version')
  if (current !== undefined && version !== undefined) {
    read.problem(
      'current',
      'says what not to go back to, which `version` leaves no choice about: give one of them',
    )
  }
  return { token: readToken(read), place: readPlace(read), current, version }
}

function readVersion(read: InputReader, input: 'current' | 'version'): string | undefined {
  const version = read.optional(input)
  if (version === undefined) return undefined
  if (!isRelease(version)) read.problem(input, 'is neither a release nor a full commit id')
  return /^[0-9a-f]{40}$/i.test(version) ? version.toLowerCase() : version
}
