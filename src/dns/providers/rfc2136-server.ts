import type { Context } from '../../context.ts'
import { describeError, Failure } from '../../failure.ts'
import { parseDomain } from '../domain-name.ts'
import { addressesOf, resolverOf } from '../name-servers.ts'
import { type Endpoint, parseEndpoint } from '../query.ts'

/** Parses `dns://<ip or host>[:port]` (the authority of RFC 4501); undefined when it is none. */
export function parseDnsUrl(text: string): { host: string; port: number } | undefined {
  const match = /^dns:\/\/(\[[^\]]+\]|[^:/?#@[\]]+)(?::(\d{1,5}))?\/?$/i.exec(text)
  const [, host = '', port = '53'] = match ?? []
  const number = Number(port)
  if (number < 1 || number > 65_535) return undefined
  const ip = parseEndpoint(host)?.ip
  const known = ip ?? (host.startsWith('[') || /^[\d.]*$/.test(host) ? undefined : parseDomain(host))
  return known === undefined ? undefined : { host: known, port: number }
}

/** Addresses of the server that takes updates: the given one, or the primary that the zone's SOA names (section 4.1). */
export async function primaryOf(
  zone: string,
  { apiUrl, resolvers }: { apiUrl: string; resolvers: readonly Endpoint[] },
  context: Context,
): Promise<Endpoint[]> {
  const resolver = resolverOf(resolvers)
  const asked = `asked ${resolver.getServers().join(', ') || 'no resolver'}`
  const hint = "give the zone's primary as `api-url` (dns://<ip or host>:<port>), or working `resolvers`"
  let server = parseDnsUrl(apiUrl)
  if (server === undefined) {
    try {
      server = { host: (await resolver.resolveSoa(zone)).nsname.toLowerCase(), port: 53 }
    } catch (error) {
      const seen = `${describeError(error)} (${asked})`
      throw new Failure(`the primary of ${zone} could not be found out`, { seen, hint })
    }
    context.log.info(`${server.host} is the primary of ${zone} by its SOA`)
  }
  const { host, port } = server
  if (parseEndpoint(host.includes(':') ? `[${host}]` : host)) return [{ ip: host, port }]
  const addresses = await addressesOf(host, resolver)
  if (addresses.length > 0) return addresses.map((ip) => ({ ip, port }))
  throw new Failure(`the name server ${host} has no address`, { seen: asked, hint })
}
