import { lookup } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'
import type { Endpoint } from './query.ts'

/** Asks these resolvers, or this machine's own where none are named. Keeps no answers. */
export function makeResolver(resolvers: readonly Endpoint[]): Resolver {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 })
  if (resolvers.length > 0)
    resolver.setServers(resolvers.map(({ ip, port }) => `${ip.includes(':') ? `[${ip}]` : ip}:${port}`))
  return resolver
}

/** How a connection finds its host, as the world does: through these resolvers, or as this machine does. */
export function lookupThrough(resolvers: readonly Endpoint[]): LookupFunction {
  if (resolvers.length === 0) return lookup
  const resolver = makeResolver(resolvers)
  return (host, options, callback) => {
    Promise.any([resolver.resolve4(host), resolver.resolve6(host)]).then(
      ([address = '']) => {
        const family = address.includes(':') ? 6 : 4
        if (options.all) callback(null, [{ address, family }])
        else callback(null, address, family)
      },
      (error: AggregateError) => callback(error.errors[0] as NodeJS.ErrnoException, ''),
    )
  }
}
