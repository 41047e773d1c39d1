/** What an error tells besides what failed. Everything here is shown to the person who reads the log. */
export interface FailureDetails {
  /** The server (or URL) on which it happened. */
  readonly host?: string | undefined
  /** What was seen: a status, a body, the last log lines, an exit code. */
  readonly seen?: string | undefined
  /** The state things are in now. */
  readonly state?: string | undefined
  /** What to do next. */
  readonly hint?: string | undefined
  readonly cause?: unknown
  /** Something is left half done that the settle step can still put right. */
  readonly unsettled?: boolean
}

/** An error that a person can act on: what failed, where, what was seen, how things stand, what to do. */
export class Failure extends Error {
  override readonly name: string = 'Failure'
  readonly details: FailureDetails

  constructor(what: string, details: FailureDetails = {}) {
    super(what, { cause: details.cause })
    this.details = details
  }

  /** The whole text, a line per part. */
  describe(): string {
    const { host, seen, state, hint } = this.details
    const lines = [host === undefined ? this.message : `${host}: ${this.message}`]
    if (seen !== undefined && seen !== '') lines.push(`Seen: ${seen}`)
    if (state !== undefined) lines.push(`State now: ${state}`)
    if (hint !== undefined) lines.push(`What to do: ${hint}`)
    return lines.join('\n')
  }
}

/** The work was cancelled (by a person, or because the job's time ran out). */
export class Cancelled extends Failure {
  override readonly name = 'Cancelled'
}

/** Text for any thrown thing, for `seen` and logs. */
export function describeError(error: unknown): string {
  if (error instanceof Failure) return error.describe()
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.map(describeError).join('; ')
  }
  if (error instanceof Error) {
    const cause = error.cause instanceof Error ? ` (${describeError(error.cause)})` : ''
    return `${error.message || error.name}${cause}`
  }
  return String(error)
}
