import type { Place } from '../../runner/deployments/deployments.ts'
import { isRelease } from '../../runner/deployments/record.ts'
import type { InputReader } from '../../runner/input-reader.ts'
import { readPlace, readToken } from '../deployment-inputs.ts'

export interface LastGoodInputs {
  readonly token: string
  readonly place: Place
  /** A release, or a full commit id in lower case. */
  readonly current: string | undefined
}

export function readInputs(read: InputReader): LastGoodInputs {
  return { token: readToken(read), place: readPlace(read), current: readCurrent(read) }
}

function readCurrent(read: InputReader): string | undefined {
  const current = read.optional('current')
  if (current === undefined) return undefined
  if (!isRelease(current)) read.problem('current', 'is neither a release nor a full commit id')
  return /^[0-9a-f]{40}$/i.test(current) ? current.toLowerCase() : current
}
