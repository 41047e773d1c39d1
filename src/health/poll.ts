import { type Context, throwIfCancelled } from '../context.ts'

/** One answer to a health probe. */
export interface Answer {
  readonly ok: boolean
  /** HTTP status, where there was one. */
  readonly status?: number
  /** Why it does not count as healthy. */
  readonly error?: string
  /** First line of the body or of the command's output, cut to 200 characters. */
  readonly body?: string
}

/** Asks once. Never rejects because the server is unwell: that is an answer. */
export type Probe = (signal: AbortSignal) => Promise<Answer>

export interface PollPolicy {
  /** Longest pause between two probes, in ms; the first pauses are shorter. */
  readonly intervalMs: number
  /** When to give up, in ms. */
  readonly timeoutMs: number
  /** Good answers in a row that make it healthy. */
  readonly threshold: number
}

export interface PollResult {
  readonly healthy: boolean
  readonly attempts: number
  readonly durationMs: number
  readonly last: Answer
}

/** The first pause: a service that is back at once is found at once. */
const FIRST_PAUSE_MS = 50

/** The pause after the n-th attempt (counted from 1): doubles from 50 ms up to the interval. */
export function pauseAfter(attempt: number, intervalMs: number): number {
  return Math.min(intervalMs, FIRST_PAUSE_MS * 2 ** Math.min(attempt - 1, 30))
}

/** Probes until enough good answers came in a row or the time is over. Rejects only when cancelled. */
export async function pollHealth(probe: Probe, policy: PollPolicy, context: Context): Promise<PollResult> {
  const { clock, signal, log } = context
  const start = clock.monotonic()
  const elapsed = () => clock.monotonic() - start
  let inARow = 0
  let last: Answer | undefined
  for (let attempts = 1; ; attempts++) {
    // No probe may outlast the deadline, however long the server keeps the connection open.
    const deadline = AbortSignal.timeout(Math.max(1, Math.ceil(policy.timeoutMs - elapsed())))
    const answer = await probe(AbortSignal.any([signal, deadline]))
    throwIfCancelled(signal)
    // A probe that the deadline cut short says less than the answer before it.
    if (last === undefined || answer.ok || !deadline.aborted) {
      if (last === undefined || describeAnswer(last) !== describeAnswer(answer)) {
        log.info(`health: ${describeAnswer(answer)}`)
      }
      last = answer
    }
    inARow = answer.ok ? inARow + 1 : 0
    if (inARow >= policy.threshold) return { healthy: true, attempts, durationMs: elapsed(), last }
    const pause = pauseAfter(attempts, policy.intervalMs)
    if (elapsed() + pause >= policy.timeoutMs)
      return { healthy: false, attempts, durationMs: elapsed(), last }
    await clock.sleep(pause, signal)
  }
}

/** An answer in a few words, for log lines and errors. */
export function describeAnswer({ ok, status, error, body }: Answer): string {
  const parts = [ok ? 'good' : (error ?? 'bad')]
  if (status !== undefined) parts.push(`status ${status}`)
  if (body) parts.push(`'${body}'`)
  return parts.join(', ')
}
