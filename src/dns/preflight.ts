import { lookup } from 'node:dns/promises'
import { isIPv6, type LookupFunction } from 'node:net'
import { connect } from 'node:tls'
import { Agent } from 'undici'
import { type Context, prefixedLog, throwIfCancelled } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import { expandUrl } from '../health/check.ts'
import { describeAnswer, type Probe, pollHealth } from '../health/poll.ts'
import { type HttpCheck, makeHttpProbe } from '../health/probe.ts'
import type { Endpoint } from './query.ts'
import type { RecordChange } from './record.ts'
import { lookupThrough } from './resolver.ts'

/** A machine under a live name, before DNS leads there. */
export interface LiveProbe {
  readonly name: string
  readonly address: string
  readonly url: string
  readonly probe: Probe
}

/** A certificate that ends sooner would end soon after the flip. */
const CERTIFICATE_MARGIN_MS = 24 * 3_600_000

/** Good answers in a row before anything is written. */
const POLICY = { intervalMs: 500, timeoutMs: 5_000, threshold: 2 }

/** A probe for each name and each address it is to have. Connects to that address, whatever DNS says now. */
export async function liveProbes(changes: readonly RecordChange[], check: HttpCheck): Promise<LiveProbe[]> {
  const probes = changes.map(async ({ name, type, to }) => {
    const addresses = type === 'CNAME' ? await addressesOf(name, to[0] ?? '') : to
    const url = expandUrl(check.url, { name })
    return addresses.map((address) => ({
      name,
      address,
      url,
      probe: makeHttpProbe(check, url, () => agentFor(address)),
    }))
  })
  return (await Promise.all(probes)).flat()
}

/** A probe for each name by way of the addresses that the world has for it: those of a provider that proxies it. */
export function edgeProbes(
  names: readonly string[],
  check: HttpCheck,
  resolvers: readonly Endpoint[],
): LiveProbe[] {
  return [...new Set(names)].map((name) => {
    const url = expandUrl(check.url, { name })
    const open = () => new Agent({ connect: { lookup: lookupThrough(resolvers) } })
    return { name, address: "its provider's proxy", url, probe: makeHttpProbe(check, url, open) }
  })
}

/** Host, SNI and the check of the certificate stay those of the URL. */
function agentFor(address: string): Agent {
  const family = isIPv6(address) ? 6 : 4
  const toAddress: LookupFunction = (_host, options, callback) =>
    options.all ? callback(null, [{ address, family }]) : callback(null, address, family)
  return new Agent({ connect: { lookup: toAddress } })
}

async function addressesOf(name: string, target: string): Promise<string[]> {
  try {
    return (await lookup(target, { all: true })).map(({ address }) => address)
  } catch (error) {
    throw new Failure(`the new target of ${name} has no address`, {
      host: target,
      seen: describeError(error),
      state: 'nothing was changed.',
      hint: 'make its A or AAAA record first',
    })
  }
}

/** Asks each until it was good twice, or the time is over. */
async function askAll(probes: readonly LiveProbe[], context: Context, policy = POLICY) {
  return await Promise.all(
    probes.map(async (live) => {
      const log = prefixedLog(context.log, `${live.url} at ${live.address}`)
      const { healthy, last } = await pollHealth(live.probe, policy, { ...context, log })
      return { live, healthy, last }
    }),
  )
}

/** Throws unless all are good within `timeoutMs`: these names lead there now. */
export async function expectServing(
  probes: readonly LiveProbe[],
  timeoutMs: number,
  context: Context,
): Promise<void> {
  const quiet = { ...context, log: { ...context.log, info: context.log.debug } }
  const answers = await askAll(probes, quiet, { ...POLICY, timeoutMs })
  const bad = answers.filter(({ healthy }) => !healthy)
  if (bad.length === 0) return
  throw new Failure('the new target does not serve the names that lead to it', {
    seen: bad.map(({ live, last }) => `${live.url} at ${live.address}: ${describeAnswer(last)}`).join('\n  '),
  })
}

/**
 * Asks each new machine under the live names; throws unless all are good. Returns the probes to go on with: an IPv6
 * address that this machine has no route to is left out where another address of the same name was good.
 */
export async function preflight(probes: readonly LiveProbe[], context: Context): Promise<LiveProbe[]> {
  const results = await Promise.all(
    (await askAll(probes, context)).map(async ({ live, healthy, last }) => {
      const error = healthy ? await certificateProblem(live, context) : undefined
      return error === undefined
        ? { live, healthy, last }
        : { live, healthy: false, last: { ok: false, error } }
    }),
  )
  const good = results.filter(({ healthy }) => healthy).map(({ live }) => live)
  const bad = results.filter(({ live, healthy, last }) => {
    if (healthy) return false
    const unroutable = isIPv6(live.address) && /ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL/.test(last.error ?? '')
    if (!unroutable || !good.some(({ name }) => name === live.name)) return true
    context.log.warn(`unchecked, this machine has no route there: ${live.url} at ${live.address}`)
    return false
  })
  if (bad.length === 0) return good
  const lines = bad.map(({ live, last }) => `${live.url} at ${live.address}: ${describeAnswer(last)}`)
  throw new Failure('the new target does not serve the live names', {
    seen: lines.join('\n  '),
    state: 'nothing was changed: the names lead where they led before.',
    hint: lines.some((line) => /certificate|altname|\bCERT_|self.signed/i.test(line))
      ? "the new machine needs the names' certificate before the flip: copy it over, or issue by DNS-01 (HTTP-01 cannot issue before the flip)"
      : 'make the new machine answer for the live names (server_name, firewall, the service itself), or correct `verify-url`, `expect-status` and `expect-body`',
  })
}

/**
 * Of names that may be led somewhere, those that no address there serves, each with what was answered: one address
 * that is good is better than none.
 */
export async function unwellNames(
  changes: readonly RecordChange[],
  check: HttpCheck,
  context: Context,
): Promise<ReadonlyMap<string, string>> {
  const unwell = new Map<string, string>()
  const names = [...new Set(changes.map(({ name }) => name))]
  await Promise.all(
    names.map(async (name) => {
      try {
        const probes = await liveProbes(
          changes.filter((change) => change.name === name),
          check,
        )
        const answers = await askAll(probes, context)
        if (answers.some(({ healthy }) => healthy)) return
        unwell.set(
          name,
          answers
            .map(({ live, last }) => `${live.url} at ${live.address}: ${describeAnswer(last)}`)
            .join('; '),
        )
      } catch (error) {
        throwIfCancelled(context.signal)
        unwell.set(name, describeError(error).replaceAll('\n', ' '))
      }
    }),
  )
  return unwell
}

/** What is wrong with a certificate that the probe itself has taken. */
async function certificateProblem(
  { url, address }: LiveProbe,
  context: Context,
): Promise<string | undefined> {
  const { protocol, hostname, port } = new URL(url)
  if (protocol !== 'https:') return undefined
  try {
    const end = await endOfCertificate(hostname, address, Number(port || 443), context)
    if (end - context.clock.now() > CERTIFICATE_MARGIN_MS) return undefined
    return `its certificate ends within a day, at ${new Date(end).toISOString()}`
  } catch (error) {
    throwIfCancelled(context.signal)
    return describeError(error)
  }
}

async function endOfCertificate(servername: string, host: string, port: number, { signal }: Context) {
  const socket = connect({ host, port, servername, timeout: 5_000 })
  const cancel = () => socket.destroy(new Error('cancelled'))
  signal.addEventListener('abort', cancel)
  try {
    return await new Promise<number>((resolve, reject) => {
      socket.on('secureConnect', () => resolve(Date.parse(socket.getPeerCertificate().valid_to)))
      socket.on('timeout', () => reject(new Error('no TLS handshake within 5 s')))
      socket.on('error', reject)
    })
  } finally {
    signal.removeEventListener('abort', cancel)
    socket.destroy()
  }
}
