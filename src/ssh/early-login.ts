import type { Client, ParsedKey } from 'ssh2'
import { sendIgnored } from './ignored-message.ts'

type Sign = (data: Buffer, done: (signature: Buffer) => void) => void

/** What ssh2 keeps to itself. Its version is pinned, and the tests log in through this. */
interface Innards {
  readonly _remoteVer?: string
  readonly _protocol?: {
    readonly _handlers: {
      SERVICE_ACCEPT(protocol: unknown, name: string): void
      EXT_INFO(protocol: unknown, extensions: unknown): void
      USERAUTH_SUCCESS(protocol: unknown): void
      CHANNEL_OPEN_CONFIRMATION(protocol: unknown, channel: unknown): void
    }
    authPK(user: string, key: ParsedKey, algorithm: string | undefined, sign?: Sign): void
  }
}

/** What a login has come to, for what can be done meanwhile. */
export interface LoginSteps {
  /**
   * The login is on its way. `isOpenSsh` tells that what follows it is kept until the login is done (sshd hands its input
   * buffer over to the process that serves the user).
   */
  sent(isOpenSsh: boolean): void
  /** The server has the request, and is at the login. */
  received(): void
  /** The first channel is open, and what it is for has been asked. */
  opened(): void
}

const HASHES: Readonly<Record<string, string>> = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' }

/**
 * Sends the whole login at once where ssh2 waits twice in it: until the service is accepted, and then it asks whether the
 * key would do before it signs. Both are optional (RFC 4252, sections 5 and 7), and a server takes packets in their order.
 * To be called right after `connect`.
 */
export function logInAtOnce(client: Client, key: ParsedKey, steps: LoginSteps): void {
  const innards = client as Client & Innards
  const protocol = innards._protocol
  if (protocol === undefined) return
  const handlers = protocol._handlers
  const { SERVICE_ACCEPT: accept, EXT_INFO: extend, USERAUTH_SUCCESS: succeed } = handlers
  const { CHANNEL_OPEN_CONFIRMATION: confirm } = handlers
  const ask = protocol.authPK.bind(protocol)
  protocol.authPK = (user, offered, algorithm, sign) => {
    const signNow: Sign = (data, done) => {
      const signature = key.sign(data, HASHES[algorithm ?? '']) as Buffer | Error
      if (signature instanceof Error) ask(user, offered, algorithm)
      else done(signature)
    }
    ask(user, offered, algorithm, sign ?? signNow)
  }
  // Which signatures by an RSA key the server takes is in its extensions, as a rule right behind the key exchange.
  let mayStart = key.type !== 'ssh-rsa'
  handlers.EXT_INFO = (from, extensions) => {
    extend(from, extensions)
    mayStart = true
  }
  let isStarted = false
  // What is sent takes TCP's acknowledgement along: sshd keeps its next answer until this one is acknowledged (Nagle's
  // algorithm, until a session runs), and without anything to send that would take 40 ms.
  const acknowledge = () => sendIgnored(client, 0)
  handlers.USERAUTH_SUCCESS = (from) => {
    succeed(from)
    acknowledge()
  }
  handlers.CHANNEL_OPEN_CONFIRMATION = (from, channel) => {
    handlers.CHANNEL_OPEN_CONFIRMATION = confirm
    confirm(from, channel)
    // Behind those that came with it.
    setImmediate(steps.opened)
  }
  const start = (from: unknown, service: string) => {
    if (isStarted) {
      acknowledge()
      steps.received()
      return
    }
    isStarted = true
    accept(from, service)
    steps.sent(innards._remoteVer?.startsWith('OpenSSH_') ?? false)
  }
  handlers.SERVICE_ACCEPT = start
  // The event comes before the service is asked for, in the same turn.
  client.once('handshake', () =>
    queueMicrotask(() => {
      if (mayStart) start(protocol, 'ssh-userauth')
    }),
  )
}
