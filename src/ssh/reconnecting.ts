import { type Context, throwIfCancelled } from '../context.ts'
import { describeError } from '../failure.ts'
import { type Credentials, connect } from './connect.ts'
import type { Connection } from './connection.ts'
import { formatTarget, type Target } from './target.ts'

/** How long a server that was reached before may stay out of reach, in ms. */
const PATIENCE_MS = 120_000
const PAUSE_MS = 1_000

/** A server whose connection can be made again after a cut. */
export class Reconnecting {
  readonly target: Target
  readonly #credentials: Credentials
  #connection: Connection
  #restore: (() => Promise<void>) | undefined

  private constructor(target: Target, credentials: Credentials, connection: Connection) {
    this.target = target
    this.#credentials = credentials
    this.#connection = connection
  }

  static async open(target: Target, credentials: Credentials, context: Context): Promise<Reconnecting> {
    return new Reconnecting(target, credentials, await connect(target, credentials, context))
  }

  get name(): string {
    return formatTarget(this.target)
  }

  /** The connection as it is now. */
  get connection(): Connection {
    return this.#connection
  }

  /** What to do after each new connection before anything else, such as taking a lock again. */
  onReconnect(restore: () => Promise<void>): void {
    this.#restore = restore
  }

  /** Connects again if the connection is known to have gone. */
  async ensureOpen(context: Context): Promise<void> {
    if (!this.#connection.isOpen) await this.reconnect(context)
  }

  /** Connects again, for at most two minutes. */
  async reconnect(context: Context): Promise<void> {
    this.#connection.close()
    const start = context.clock.monotonic()
    for (;;) {
      try {
        this.#connection = await connect(this.target, this.#credentials, context)
        break
      } catch (error) {
        throwIfCancelled(context.signal)
        if (context.clock.monotonic() - start > PATIENCE_MS) throw error
        context.log.debug(describeError(error))
        await context.clock.sleep(PAUSE_MS, context.signal)
      }
    }
    await this.#restore?.()
  }

  close(): void {
    this.#connection.close()
  }
}
