import type { ClientChannel } from 'ssh2'
import { type Context, throwIfCancelled } from '../context.ts'
import type { Credentials } from './connect.ts'
import type { Connection, ExecResult } from './connection.ts'
import { Reconnecting } from './reconnecting.ts'
import type { Target } from './target.ts'

/** What is asked of a server that others are looked at from. */
export type Outlook = Pick<Connection, 'openTcp' | 'script'>

/**
 * A server to look from, whose connection is made again when it has broken. Nothing that was sent is sent again: only
 * what could not begin is begun on the new connection.
 */
export class SteadyConnection implements Outlook {
  readonly #server: Reconnecting
  readonly #context: Context
  #reopening: Promise<void> | undefined
  #closed = false

  private constructor(server: Reconnecting, context: Context) {
    this.#server = server
    this.#context = context
  }

  static async open(target: Target, credentials: Credentials, context: Context): Promise<SteadyConnection> {
    return new SteadyConnection(await Reconnecting.open(target, credentials, context), context)
  }

  async openTcp(host: string, port: number): Promise<ClientChannel> {
    await this.#ensureOpen()
    try {
      return await this.#server.connection.openTcp(host, port)
    } catch (error) {
      // It may have been cut without anybody having noticed until now.
      if (this.#server.connection.isOpen) throw error
      await this.#ensureOpen()
      return this.#server.connection.openTcp(host, port)
    }
  }

  async script(...args: Parameters<Connection['script']>): Promise<ExecResult> {
    await this.#ensureOpen()
    return this.#server.connection.script(...args)
  }

  close(): void {
    this.#closed = true
    this.#server.close()
  }

  /** All who ask meanwhile wait for the same new connection. */
  async #ensureOpen(): Promise<void> {
    const { log, signal } = this.#context
    throwIfCancelled(signal)
    if (this.#closed || this.#server.connection.isOpen) return
    if (this.#reopening === undefined) {
      log.warn(`the connection to ${this.#server.name} broke: connecting again`)
      this.#reopening = this.#server.reconnect(this.#context).finally(() => {
        this.#reopening = undefined
      })
    }
    await this.#reopening
  }
}
