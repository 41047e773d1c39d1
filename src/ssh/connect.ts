import { connect as dial, Socket } from 'node:net'
import { NodeSSH } from 'node-ssh'
import type { ClientChannel, ParsedKey, ServerHostKeyAlgorithm } from 'ssh2'
import { type Context, cancelled, throwIfCancelled } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { Connection, type ConnectionOrigin } from './connection.ts'
import { logInAtOnce } from './early-login.ts'
import { type HostKeys, hostKeyAttempts, hostKeyFailure, judgeHostKey } from './host-keys.ts'
import { joinWrites, quickenCiphers } from './packet-flow.ts'
import { formatAddress, formatTarget, type Target } from './target.ts'

/** How to log in, the same for every server of a step. */
export interface Credentials {
  readonly key: ParsedKey
  readonly hostKeys: HostKeys
  readonly jump: { readonly target: Target; readonly key: ParsedKey } | undefined
  readonly connectTimeoutMs: number
}

/** What is done with a connection that is still on its way. */
export interface Ahead {
  /** To be prepared on it (see `Connection.prepare`), which then cost fewer round trips. Asked for at each login. */
  readonly commands?: () => readonly string[]
  /** Whether much is going to be sent. */
  readonly willSendMuch?: () => boolean
}

/** Dead links are noticed within about 15 s; ssh2 sends nothing by default and would hang. */
const KEEPALIVE = { keepaliveInterval: 5_000, keepaliveCountMax: 3 }
const DIAL_ATTEMPTS = 3
const RETRY_DELAY_MS = 500

/**
 * Logs in, through the jump host where there is one; each server's host key is verified before anything is sent.
 * Dialling is retried while the network refuses (nothing has been done yet); a wrong key or login never is.
 * Throws a `Failure` that says what to do.
 */
export async function connect(
  target: Target,
  credentials: Credentials,
  context: Context,
  ahead: Ahead = {},
): Promise<Connection> {
  const { jump } = credentials
  const again = (why: string) => {
    context.log.info(`${formatTarget(target)} ${why}: another connection is made`)
    return connect(target, credentials, context)
  }
  if (jump === undefined) {
    return login(
      target,
      credentials.key,
      credentials,
      context,
      () => dialTcp(target, credentials, context),
      again,
      ahead,
    )
  }
  const outer = await login(
    jump.target,
    jump.key,
    credentials,
    context,
    () => dialTcp(jump.target, credentials, context),
    again,
  )
  try {
    const inner = await login(
      target,
      credentials.key,
      credentials,
      context,
      () => outer.openTcp(target.host, target.port),
      again,
      ahead,
    )
    inner.onClose(() => outer.close())
    return inner
  } catch (error) {
    outer.close()
    throw error
  }
}

type Dialled = Socket | ClientChannel

async function login(
  target: Target,
  key: ParsedKey,
  credentials: Credentials,
  context: Context,
  openSocket: () => Promise<Dialled>,
  again: ConnectionOrigin['again'],
  ahead: Ahead = {},
): Promise<Connection> {
  const attempts = hostKeyAttempts(credentials.hostKeys, target.host, target.port)
  let rejected: Refused | undefined
  for (const algorithms of attempts) {
    const outcome = await handshakeOrAgain(
      target,
      key,
      algorithms,
      credentials,
      context,
      openSocket,
      again,
      ahead,
    )
    if (outcome instanceof Connection) return outcome
    // Of several attempts, a key that was offered and refused says more than a type the server does not have.
    if (outcome.why === 'untrusted' || rejected === undefined) rejected = outcome
    if (outcome.why !== 'untrusted' && outcome.why !== 'no common key') break
  }
  throw rejected?.failure
}

interface Refused {
  readonly failure: Failure
  readonly why: 'untrusted' | 'no common key' | 'dropped' | 'refused'
}

/** A busy sshd (MaxStartups) drops connections before it has said anything: nothing is done yet, so try again. */
async function handshakeOrAgain(
  target: Target,
  key: ParsedKey,
  algorithms: string[],
  credentials: Credentials,
  context: Context,
  openSocket: () => Promise<Dialled>,
  again: ConnectionOrigin['again'],
  ahead: Ahead,
): Promise<Connection | Refused> {
  for (let attempt = 1; ; attempt++) {
    throwIfCancelled(context.signal)
    const begun = context.clock.monotonic()
    const socket = await openSocket()
    const isHere = socket instanceof Socket && socket.remoteAddress === socket.localAddress
    const roundTripMs = isHere ? 0 : context.clock.monotonic() - begun
    const origin = { roundTripMs, again, willSendMuch: ahead.willSendMuch }
    const outcome = await handshake(socket, target, key, algorithms, credentials, context, origin, ahead)
    if (outcome instanceof Connection || outcome.why !== 'dropped' || attempt === DIAL_ATTEMPTS)
      return outcome
    context.log.debug(`${formatTarget(target)}: ${outcome.failure.details.seen}; trying again`)
    await context.clock.sleep(RETRY_DELAY_MS * attempt, context.signal)
  }
}

async function handshake(
  socket: Dialled,
  target: Target,
  key: ParsedKey,
  algorithms: string[],
  credentials: Credentials,
  context: Context,
  origin: ConnectionOrigin,
  ahead: Ahead,
): Promise<Connection | Refused> {
  const { host, port, user } = target
  const { hostKeys, connectTimeoutMs } = credentials
  const ssh = new NodeSSH()
  let untrusted: Failure | undefined
  let offeredKey = false
  const keys = [key]
  const abort = () => socket.destroy()
  context.signal.addEventListener('abort', abort, { once: true })
  try {
    const ready = ssh.connect({
      sock: socket,
      host,
      port,
      username: user,
      readyTimeout: connectTimeoutMs,
      ...KEEPALIVE,
      algorithms: { serverHostKey: algorithms as ServerHostKeyAlgorithm[] },
      hostVerifier: (offered: Buffer) => {
        offeredKey = true
        const verdict = judgeHostKey(hostKeys, host, port, offered)
        if (verdict !== 'trusted') untrusted = hostKeyFailure(verdict, hostKeys, host, port, offered)
        return verdict === 'trusted'
      },
      // One method, tried once: each refused attempt counts towards the server's MaxAuthTries and fail2ban.
      authHandler: (_left, _partial, next) => {
        const offer = keys.shift()
        next(offer === undefined ? (false as never) : { type: 'publickey', username: user, key: offer })
      },
    })
    const client = ssh.connection
    if (client === null) throw new Failure('the connection was closed before the login', { host })
    const connection = new Connection(target, client, origin)
    const prepare = () => {
      for (const command of ahead.commands?.() ?? []) connection.prepare(command)
    }
    let isPrepared = false
    client.once('handshake', () => quickenCiphers(client))
    logInAtOnce(client, key, {
      sent(isOpenSsh) {
        isPrepared = isOpenSsh
        if (!isOpenSsh) return
        prepare()
        connection.slowStart.push()
      },
      received() {
        if (isPrepared) connection.slowStart.push()
      },
      opened: () => connection.slowStart.keepPushing(),
    })
    await ready
    if (!isPrepared) prepare()
    return connection
  } catch (error) {
    socket.destroy()
    if (context.signal.aborted) throw cancelled(context.signal)
    if (untrusted !== undefined) return { failure: untrusted, why: 'untrusted' }
    const failure = loginFailure(error, target, credentials, algorithms)
    const seen = describeError(error)
    if (/no matching host key/i.test(seen)) return { failure, why: 'no common key' }
    const dropped = !offeredKey && /ECONNRESET|EPIPE|before handshake|No response/i.test(seen)
    return { failure, why: dropped ? 'dropped' : 'refused' }
  } finally {
    context.signal.removeEventListener('abort', abort)
  }
}

function loginFailure(
  error: unknown,
  target: Target,
  credentials: Credentials,
  algorithms: string[],
): Failure {
  const seen = describeError(error)
  const details = { host: formatTarget(target), seen, state: 'nothing was changed there.', cause: error }
  if (/authentication methods failed/i.test(seen)) {
    return new Failure('the server refused the login', {
      ...details,
      hint: `put the key's public half into ~${target.user}/.ssh/authorized_keys on the server (ssh-keygen -y -f <key file> prints it), and check the user name`,
    })
  }
  if (/no matching host key/i.test(seen)) {
    return new Failure('the server has no host key of a type that is known for it', {
      ...details,
      hint: `known are: ${algorithms.join(', ')}. Print the server's keys on its own console: cat /etc/ssh/ssh_host_*_key.pub`,
    })
  }
  if (/no matching (key exchange|cipher|C->S|S->C)/i.test(seen)) {
    return new Failure('the server and this client have no algorithm in common', {
      ...details,
      hint: 'allow curve25519-sha256 and aes128-gcm@openssh.com in the sshd_config of the server',
    })
  }
  if (/timed out|ETIMEDOUT|No response/i.test(seen)) {
    return new Failure(`no SSH handshake within ${credentials.connectTimeoutMs} ms`, {
      ...details,
      hint: "check that an SSH server listens there, a firewall between, or raise the input 'connect-timeout'",
    })
  }
  return new Failure('the SSH connection could not be made', {
    ...details,
    hint: 'try it by hand: ssh -v -p PORT USER@HOST true',
  })
}

async function dialTcp(target: Target, credentials: Credentials, context: Context): Promise<Socket> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await dialOnce(target, credentials.connectTimeoutMs, context.signal)
    } catch (error) {
      throwIfCancelled(context.signal)
      const permanent = /ENOTFOUND|EINVAL/.test(describeError(error))
      if (attempt === DIAL_ATTEMPTS || permanent) throw dialFailure(error, target, attempt)
      context.log.debug(`${formatTarget(target)}: ${describeError(error)}; trying again`)
      await context.clock.sleep(RETRY_DELAY_MS * attempt, context.signal)
    }
  }
}

function dialFailure(error: unknown, target: Target, attempts: number): Failure {
  const seen = describeError(error)
  const hints: Record<string, string> = {
    ENOTFOUND: 'the name does not resolve here: check it, or give the IP address',
    ECONNREFUSED: `nothing listens on port ${target.port}: check the port and that sshd runs`,
    EHOSTUNREACH: 'the runner has no route to it: use a runner inside that network, or the input jump',
    ENETUNREACH: 'the runner has no route to it (IPv6 is missing on GitHub-hosted runners)',
  }
  const code = Object.keys(hints).find((name) => seen.includes(name))
  return new Failure(`cannot connect (${attempts} ${attempts === 1 ? 'attempt' : 'attempts'})`, {
    host: formatTarget(target),
    seen,
    state: 'nothing was changed there.',
    hint: hints[code ?? ''] ?? 'check the address, the firewall between, and that the server is up',
    cause: error,
  })
}

function dialOnce({ host, port }: Target, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // The signal is for dialling only: after a cancel the connection is what things are put right through.
    const socket = dial({ host, port, noDelay: true })
    const abort = () => socket.destroy(cancelled(signal))
    signal.addEventListener('abort', abort, { once: true })
    const timer = setTimeout(
      () =>
        socket.destroy(
          new Error(`ETIMEDOUT: no answer from ${formatAddress(host, port)} in ${timeoutMs} ms`),
        ),
      timeoutMs,
    )
    socket.once('connect', () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      socket.removeListener('error', reject)
      joinWrites(socket)
      resolve(socket)
    })
    socket.once('error', reject)
    socket.once('close', () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    })
  })
}
