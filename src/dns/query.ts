import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import * as packet from 'dns-packet'
import { type Context, throwIfCancelled } from '../context.ts'
import { parseValue, type RecordType } from './record.ts'

/** Where DNS questions are answered. */
export interface Endpoint {
  readonly ip: string
  readonly port: number
}

export interface DnsAnswer {
  /** `NOERROR`, `NXDOMAIN`, `REFUSED` ... */
  readonly rcode: string
  /** Whether the server says so by its own authority (AA). */
  readonly authoritative: boolean
  /** Values of the asked type, canonical for A, AAAA and CNAME. */
  readonly values: readonly string[]
  /** Seconds, the shortest of the values; undefined where there are none. */
  readonly ttl: number | undefined
  /** Of a zone (SOA): seconds after which a secondary asks its primary for changes, and asks again after no answer. */
  readonly soa?: { readonly refresh: number; readonly retry: number }
}

/** No answer came; `code` is the system's (`ENETUNREACH`), or `ETIMEOUT`. */
export class DnsQueryError extends Error {
  override readonly name = 'DnsQueryError'
  readonly code: string

  constructor(message: string, code: string) {
    super(message)
    this.code = code
  }
}

export interface Question {
  readonly name: string
  readonly type: RecordType | 'NS' | 'SOA'
  /** Set for a resolver; a name server is asked for what it knows itself. */
  readonly recurse?: boolean
}

const UDP_TIMEOUTS_MS = [1_000, 2_000]
const TCP_TIMEOUT_MS = 5_000
/** What fits everywhere without fragments (DNS flag day 2020). */
const UDP_BYTES = 1232

/** Asks one server over UDP, and over TCP where the answer is cut. Throws `DnsQueryError` when none comes. */
export async function askServer(server: Endpoint, question: Question, context: Context): Promise<DnsAnswer> {
  let error: unknown
  for (const timeout of UDP_TIMEOUTS_MS) {
    throwIfCancelled(context.signal)
    const id = randomInt(65_536)
    try {
      const answer = await overUdp(
        server,
        encode(id, question),
        accepts(id, question),
        timeout,
        context.signal,
      )
      return answer.flag_tc
        ? readAnswer(await overTcp(server, id, question, context.signal), question)
        : readAnswer(answer, question)
    } catch (failed) {
      throwIfCancelled(context.signal)
      error = failed
      if (!(failed instanceof DnsQueryError) || failed.code !== 'ETIMEOUT') break
    }
  }
  throw error
}

function encode(id: number, { name, type, recurse = false }: Question): Buffer {
  const edns = { type: 'OPT', name: '.', udpPayloadSize: UDP_BYTES, flags: 0, options: [] }
  return packet.encode({
    type: 'query',
    id,
    flags: recurse ? packet.RECURSION_DESIRED : 0,
    questions: [{ name, type }],
    additionals: [edns as unknown as packet.Answer],
  })
}

/** An answer is only taken for the question that was asked. */
function accepts(id: number, { name, type }: Question): (message: packet.DecodedPacket) => boolean {
  return ({ id: got, type: kind, questions = [] }) =>
    got === id &&
    kind === 'response' &&
    questions.length === 1 &&
    questions[0]?.type === type &&
    questions[0].name.toLowerCase() === name
}

function readAnswer(message: packet.DecodedPacket, { name, type, recurse }: Question): DnsAnswer {
  // A resolver gives the chain of CNAMEs before the addresses; a name server its own records only.
  const found = (message.answers ?? []).filter(
    (answer) => answer.type === type && (recurse || answer.name.toLowerCase() === name),
  ) as { ttl?: number; data: unknown }[]
  const ttls = found.map(({ ttl }) => ttl ?? 0)
  const soa = type === 'SOA' ? (found[0]?.data as DnsAnswer['soa']) : undefined
  return {
    rcode: (message as unknown as { rcode: string }).rcode,
    authoritative: message.flag_aa,
    values: found.map(({ data }) => readValue(type, data)),
    ttl: ttls.length === 0 ? undefined : Math.min(...ttls),
    ...(soa === undefined ? {} : { soa: { refresh: soa.refresh, retry: soa.retry } }),
  }
}

function readValue(type: Question['type'], data: unknown): string {
  if (type === 'SOA') return String((data as { serial?: unknown }).serial)
  const text = String(data).toLowerCase().replace(/\.$/, '')
  return type === 'NS' ? text : (parseValue(type, text) ?? text)
}

function decode(bytes: Buffer): packet.DecodedPacket | undefined {
  try {
    return packet.decode(bytes)
  } catch {
    return undefined
  }
}

const noAnswer = ({ ip, port }: Endpoint, ms: number) =>
  new DnsQueryError(`no answer from ${formatEndpoint({ ip, port })} within ${ms} ms`, 'ETIMEOUT')

async function overUdp(
  server: Endpoint,
  bytes: Buffer,
  wanted: (message: packet.DecodedPacket) => boolean,
  timeout: number,
  signal: AbortSignal,
): Promise<packet.DecodedPacket> {
  const socket = createSocket({ type: isIPv6(server.ip) ? 'udp6' : 'udp4', signal })
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(noAnswer(server, timeout)), timeout)
      socket.on('close', () => {
        clearTimeout(timer)
        reject(new DnsQueryError('cancelled', 'ABORT_ERR'))
      })
      socket.on('error', (error) => reject(queryError(server, error)))
      socket.on('message', (message) => {
        const answer = decode(message)
        if (answer && wanted(answer)) resolve(answer)
      })
      // Connected, the kernel takes datagrams of this server only, and tells of a closed port at once.
      socket.connect(server.port, server.ip, ((error?: Error) => {
        // Without a route the callback is called as well, and a socket that is not connected cannot send.
        if (error) reject(queryError(server, error))
        else socket.send(bytes)
      }) as () => void)
    })
  } finally {
    socket.close(() => {})
  }
}

async function overTcp(
  server: Endpoint,
  id: number,
  question: Question,
  signal: AbortSignal,
): Promise<packet.DecodedPacket> {
  const [bytes] = await exchangeOverTcp(server, [encode(id, question)], TCP_TIMEOUT_MS, signal)
  const answer = bytes && decode(bytes)
  if (answer && accepts(id, question)(answer)) return answer
  throw new DnsQueryError(`${formatEndpoint(server)} answers something else`, 'EBADRESP')
}

/**
 * Sends messages with different ids over one connection and gives back their answers, in the order of the messages.
 * Throws `DnsQueryError` when not all of them come within `timeout` milliseconds.
 */
export async function exchangeOverTcp(
  server: Endpoint,
  messages: readonly Buffer[],
  timeout: number,
  signal: AbortSignal,
): Promise<Buffer[]> {
  const wanted = messages.map((message) => message.readUInt16BE(0))
  const answers = new Map<number, Buffer>()
  const late = AbortSignal.timeout(timeout)
  const socket = connect({ host: server.ip, port: server.port, signal: AbortSignal.any([signal, late]) })
  socket.setNoDelay()
  try {
    return await new Promise((resolve, reject) => {
      let received = Buffer.alloc(0)
      socket.on('error', (error) =>
        reject(late.aborted ? noAnswer(server, timeout) : queryError(server, error)),
      )
      socket.on('close', () =>
        reject(
          new DnsQueryError(
            `${formatEndpoint(server)} closed the connection without an answer`,
            'ECONNRESET',
          ),
        ),
      )
      socket.on('data', (part: Buffer) => {
        received = Buffer.concat([received, part])
        while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
          const message = received.subarray(2, 2 + received.readUInt16BE(0))
          received = received.subarray(2 + message.length)
          if (message.length >= 12) answers.set(message.readUInt16BE(0), message)
        }
        const found = wanted.flatMap((id) => answers.get(id) ?? [])
        if (found.length === wanted.length) resolve(found)
      })
      for (const message of messages) {
        const length = Buffer.alloc(2)
        length.writeUInt16BE(message.length)
        socket.write(Buffer.concat([length, message]))
      }
    })
  } finally {
    socket.destroy()
  }
}

function queryError(server: Endpoint, error: Error): DnsQueryError {
  const code = (error as NodeJS.ErrnoException).code ?? error.name
  return new DnsQueryError(`${formatEndpoint(server)}: ${error.message}`, code)
}

export function formatEndpoint({ ip, port }: Endpoint): string {
  const host = isIPv6(ip) ? `[${ip}]` : ip
  return port === 53 ? host : `${host}:${port}`
}

/** Parses `ip` or `ip:port` (IPv6 with a port in brackets); undefined when it is neither. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const bare = parseIp(text)
  if (bare) return { ip: bare, port: 53 }
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text)
  const ip = parseIp(match?.[1] ?? match?.[2] ?? '')
  const port = Number(match?.[3] ?? 53)
  return ip && port >= 1 && port <= 65_535 ? { ip, port } : undefined
}

const parseIp = (text: string) => parseValue('A', text) ?? parseValue('AAAA', text)
