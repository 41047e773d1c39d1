import type { Client, ClientChannel } from 'ssh2'

/** What ssh2 keeps to itself, see early-login.ts. */
interface Innards {
  readonly _protocol?: { exec(id: number, command: Buffer, wantsReply: boolean): void }
  readonly _chanMgr?: { readonly _channels: Readonly<Record<number, unknown>> }
}

/**
 * Asks for commands and hands out their channels as soon as the request is on its way: what they are to read need not wait
 * a round trip for the server's word that they run (RFC 4254, 5.4), for which ssh2 waits. One for each connection, made
 * right after `connect`.
 */
export class EarlyExec {
  readonly #client: Client
  readonly #requested = new Map<Buffer, (channel: ClientChannel) => void>()

  constructor(client: Client) {
    this.#client = client
    const { _protocol: protocol, _chanMgr: manager } = client as Client & Innards
    if (protocol === undefined || manager === undefined) return
    const request = protocol.exec.bind(protocol)
    protocol.exec = (id, command, wantsReply) => {
      request(id, command, wantsReply)
      const isIts = (one: unknown) => (one as { outgoing?: { id: number } }).outgoing?.id === id
      const channel = Object.values(manager._channels).find(isIts)
      if (channel !== undefined) this.#requested.get(command)?.(channel as ClientChannel)
    }
  }

  /**
   * `requested` gets the channel; `failed` is told that there is none, or later that the server does not run the command
   * on it (`channel` is set then).
   */
  start(
    command: string,
    requested: (channel: ClientChannel) => void,
    failed: (error: Error, channel: ClientChannel | undefined) => void,
  ): void {
    // The protocol takes bytes as well as text, and these are known again by their identity.
    const line = Buffer.from(command, 'utf8')
    let channel: ClientChannel | undefined
    const take = (opened: ClientChannel) => {
      this.#requested.delete(line)
      if (channel === undefined) requested(opened)
      channel = opened
    }
    this.#requested.set(line, take)
    this.#client.exec(line as unknown as string, (error, opened) => {
      this.#requested.delete(line)
      if (error) failed(error, channel)
      else take(opened)
    })
  }
}
