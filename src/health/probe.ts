import { connect } from 'node:net'
import { Agent, type Dispatcher, request } from 'undici'
import { describeError, Failure } from '../failure.ts'
import type { Outlook } from '../ssh/steady-connection.ts'
import { tunnelDispatcher } from '../ssh/tunnel.ts'
import { expandUrl, type HealthCheck, type Placeholders } from './check.ts'
import type { Answer, Probe } from './poll.ts'

/** Longest wait for one answer, in ms: a hanging server is as unwell as a silent one. */
const ANSWER_TIMEOUT_MS = 5_000
const BODY_LIMIT = 256 * 1024

/** From where to probe: through an SSH connection (as that server sees things), or from this machine. */
export type Vantage = Outlook | 'runner'

export type HttpCheck = Extract<HealthCheck, { kind: 'http' }>

export interface ProbeSubject {
  readonly placeholders: Placeholders
  /** Host that a TCP check connects to, as seen from the vantage. */
  readonly tcpHost: string
  /** Environment and directory of a health command. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Builds the probe for one subject. A command needs a server to run on; the inputs see to that. */
export function makeProbe(check: HealthCheck, from: Vantage, subject: ProbeSubject): Probe {
  return bounded(asker(check, from, subject))
}

/** A probe that asks over HTTP through dispatchers of the caller's; each is destroyed after one answer. */
export function makeHttpProbe(check: HttpCheck, url: string, open: () => Dispatcher): Probe {
  return bounded((signal) => askHttp(check, url, open, signal))
}

function bounded(ask: (signal: AbortSignal) => Promise<Answer>): Probe {
  return async (signal) => {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)])
    try {
      return await ask(bounded)
    } catch (error) {
      if (signal.aborted) return { ok: false, error: 'no answer before the time was over' }
      if (bounded.aborted) return { ok: false, error: `no answer within ${ANSWER_TIMEOUT_MS} ms` }
      return { ok: false, error: briefly(error) }
    }
  }
}

/** An answer is one line: where it was asked stands beside it anyway. */
function briefly(error: unknown): string {
  if (!(error instanceof Failure)) return describeError(error)
  return error.details.seen ? `${error.message} (${error.details.seen})` : error.message
}

function asker(
  check: HealthCheck,
  from: Vantage,
  subject: ProbeSubject,
): (signal: AbortSignal) => Promise<Answer> {
  switch (check.kind) {
    case 'http':
      // A dispatcher per probe: a kept-alive connection would go on answering for a process that no longer listens.
      return (signal) =>
        askHttp(
          check,
          expandUrl(check.url, subject.placeholders),
          () => (from === 'runner' ? new Agent() : tunnelDispatcher(from)),
          signal,
        )
    case 'tcp':
      return (signal) => askTcp(subject.tcpHost, check.port, from, signal)
    case 'command':
      return (signal) => askCommand(check.command, from, subject, signal)
  }
}

async function askHttp(
  check: HttpCheck,
  url: string,
  open: () => Dispatcher,
  signal: AbortSignal,
): Promise<Answer> {
  const dispatcher = open()
  try {
    const response = await request(url, { dispatcher, signal })
    const text = await readSome(response.body, BODY_LIMIT)
    const answer = { status: response.statusCode, body: firstLine(text) }
    if (!check.expectStatus.some(({ from: low, to }) => answer.status >= low && answer.status <= to)) {
      return { ok: false, error: 'unexpected status', ...answer }
    }
    if (check.expectBody !== undefined && !text.includes(check.expectBody)) {
      return { ok: false, error: `the body does not contain '${check.expectBody}'`, ...answer }
    }
    return { ok: true, ...answer }
  } finally {
    await dispatcher.destroy()
  }
}

async function readSome(body: AsyncIterable<Buffer>, limit: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= limit) break
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function askTcp(host: string, port: number, from: Vantage, signal: AbortSignal): Promise<Answer> {
  if (from !== 'runner') {
    const channel = await from.openTcp(host, port)
    channel.on('error', () => {})
    channel.destroy()
    return { ok: true }
  }
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host, port, signal }, () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })
  return { ok: true }
}

async function askCommand(
  command: string,
  from: Vantage,
  { env = {}, cwd }: ProbeSubject,
  signal: AbortSignal,
): Promise<Answer> {
  if (from === 'runner') throw new TypeError('a health command runs on a server')
  const result = await from.script(command, { env, signal, ...(cwd === undefined ? {} : { cwd }) })
  const body = firstLine(result.stdout) || firstLine(result.stderr)
  if (result.code === 0) return { ok: true, body }
  return {
    ok: false,
    error: result.signal === undefined ? `exit code ${result.code}` : `killed by ${result.signal}`,
    body,
  }
}

function firstLine(text: string): string {
  return (text.split('\n').find((line) => line.trim() !== '') ?? '').trim().slice(0, 200)
}
