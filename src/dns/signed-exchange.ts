import { randomInt } from 'node:crypto'
import * as packet from 'dns-packet'
import { type Context, throwIfCancelled } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { NoAnswer } from './provider-api.ts'
import { type Endpoint, exchangeOverTcp, formatEndpoint } from './query.ts'
import { checkAnswer, signMessage, type TsigCheck, type TsigKey } from './tsig.ts'

const TIMEOUT_MS = 10_000

export interface SignedAnswer {
  /** `NOERROR`, `NXRRSET`, `REFUSED` ... Anything but a refusal is signed by the server. */
  readonly rcode: string
  /** The server's complaint about our signature (16 BADSIG, 17 BADKEY, 18 BADTIME); 0 for none. */
  readonly tsigError: number
  /** Seconds since 1970 by the server's clock, where it tells. */
  readonly serverTime: number | undefined
  readonly message: packet.DecodedPacket
}

/** What a server may answer that does not know our key, and so cannot sign it: nothing is believed of it but that. */
const REFUSALS = ['FORMERR', 'SERVFAIL', 'NOTIMP', 'REFUSED', 'NOTAUTH', 'NOTZONE']

/**
 * Sends messages (made for the id they are given) over one connection, each signed, and verifies the answers.
 * Throws `NoAnswer` when not all of them come (of an update it is not known whether it was carried out), and `Failure`
 * for answers that are not signed as they should be.
 */
export async function exchangeSigned(
  server: Endpoint,
  key: TsigKey,
  messages: readonly ((id: number) => Buffer)[],
  { clock, signal }: Context,
): Promise<SignedAnswer[]> {
  throwIfCancelled(signal)
  const first = randomInt(65_536)
  const time = Math.floor(clock.now() / 1_000)
  const signed = messages.map((make, index) => signMessage(make((first + index) % 65_536), key, time))
  const host = formatEndpoint(server)
  let answers: Buffer[]
  try {
    answers = await exchangeOverTcp(
      server,
      signed.map(({ bytes }) => bytes),
      TIMEOUT_MS,
      signal,
    )
  } catch (error) {
    throwIfCancelled(signal)
    throw new NoAnswer('the name server gives no answer', {
      host,
      seen: describeError(error),
      hint: "check `api-url` (dns://<ip or host>:<port> of the zone's primary), that it listens there over TCP, and that a firewall lets this runner in",
    })
  }
  return answers.map((bytes, index) => {
    const mac = signed[index]?.mac ?? Buffer.alloc(0)
    return readAnswer(
      bytes,
      host,
      (now) => checkAnswer(bytes, key, mac, now),
      Math.floor(clock.now() / 1_000),
    )
  })
}

function readAnswer(
  bytes: Buffer,
  host: string,
  check: (now: number) => TsigCheck,
  now: number,
): SignedAnswer {
  let message: packet.DecodedPacket
  let checked: TsigCheck
  try {
    message = packet.decode(bytes)
    checked = check(now)
  } catch {
    throw new Failure('what answers is no DNS server', { host, hint: 'check `api-url`' })
  }
  const { verdict, error, serverTime } = checked
  const { rcode } = message as unknown as { rcode: string }
  if (verdict === 'valid' || (verdict === 'unsigned' && REFUSALS.includes(rcode)))
    return { rcode, tsigError: error, serverTime, message }
  throw new Failure('an answer of the name server is not to be trusted', {
    host,
    seen: {
      unsigned: `${rcode} without a signature`,
      forged: `${rcode} with a signature that is not made with \`tsig-secret\``,
      stale: `${rcode} signed ${Math.abs(now - (serverTime ?? now))} s ${(serverTime ?? now) < now ? 'ago' : 'from now'} by its clock`,
    }[verdict],
    hint:
      verdict === 'stale'
        ? 'the clocks of this runner and of the name server differ: set them by NTP'
        : 'something between this runner and the name server answers in its place, or changes answers: ask the server itself (`api-url`)',
  })
}
