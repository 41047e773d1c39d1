import type { Client } from 'ssh2'
import { sendIgnored } from './ignored-message.ts'

/** What TCP sends in the first round trip: ten segments (RFC 6928). */
const FIRST_BYTES = 14_000
const ROUNDS = 4
/** Below this a slow start is over soon enough. */
const FAR_MS = 10

/**
 * Takes a connection through TCP's slow start while nothing else can be sent: until the server has said how it stands, a
 * path that could carry 500 KB in a round trip has carried 14, and grows only with what is sent (RFC 5681, 3.1). So as much
 * as TCP lets through is sent in messages that say nothing (RFC 4253, 11.2), some 200 KB at most, and never ahead of
 * something that is waited for.
 */
export class SlowStart {
  readonly #client: Client
  readonly #roundTripMs: number
  readonly #isWorthIt: (() => boolean) | undefined
  #timer: NodeJS.Timeout | undefined
  #round = 0

  /** `isWorthIt` is asked before each round whether much is going to be sent; without it, nothing ever is. */
  constructor(client: Client, roundTripMs: number, isWorthIt: (() => boolean) | undefined) {
    this.#client = client
    this.#roundTripMs = roundTripMs
    this.#isWorthIt = isWorthIt
    if (roundTripMs < FAR_MS || isWorthIt === undefined) this.end()
  }

  /** One round, behind what has been sent. */
  push(): void {
    if (this.#round === ROUNDS || this.#isWorthIt?.() !== true) return
    sendIgnored(this.#client, FIRST_BYTES * 2 ** this.#round)
    this.#round++
    if (this.#round === ROUNDS) this.end()
  }

  /** A round now and with each round trip, until `end`. To be called when an answer is waited for. */
  keepPushing(): void {
    if (this.#timer !== undefined || this.#round === ROUNDS) return
    this.#timer = setInterval(() => this.push(), this.#roundTripMs)
    this.push()
  }

  /** To be called as soon as there is something to be sent, or nothing can be. */
  end(): void {
    this.#round = ROUNDS
    clearInterval(this.#timer)
  }
}
