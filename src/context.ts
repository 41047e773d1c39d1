import { setTimeout as delay } from 'node:timers/promises'
import { Cancelled, Failure } from './failure.ts'

/** Time as the domain code sees it, so that tests can hold it. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. For records and messages. */
  now(): number
  /** Milliseconds that never go backwards. For durations and deadlines. */
  monotonic(): number
  /** Waits; rejects with `Cancelled` as soon as the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Where lines for people go. A line may hold no newline; secrets are masked by the runner. */
export interface Log {
  info(line: string): void
  warn(line: string): void
  debug(line: string): void
}

/** What every executor is given. */
export interface Context {
  readonly log: Log
  readonly clock: Clock
  readonly signal: AbortSignal
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    throwIfCancelled(signal)
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal })
    } catch (error) {
      throwIfCancelled(signal)
      throw error
    }
  },
}

/** Throws `Cancelled` when the signal has aborted. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(signal)
}

/** The error for an aborted signal: its own reason where that is ours. */
export function cancelled(signal: AbortSignal): Failure {
  return signal.reason instanceof Failure
    ? signal.reason
    : new Cancelled('cancelled', { cause: signal.reason })
}

/** Settles as the work does, or rejects as soon as the signal aborts. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(cancelled(signal))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** The same log with every line prefixed, one prefix per host. */
export function prefixedLog(log: Log, prefix: string): Log {
  return {
    info: (line) => log.info(`${prefix} | ${line}`),
    warn: (line) => log.warn(`${prefix} | ${line}`),
    debug: (line) => log.debug(`${prefix} | ${line}`),
  }
}
