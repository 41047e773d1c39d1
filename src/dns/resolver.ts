import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { resolverOf } from './name-servers.ts'
import type { Endpoint } from './query.ts'

/** How a connection finds its host, as the world does: through these resolvers, or as this machine does. */
export function lookupThrough(resolvers: readonly Endpoint[]): LookupFunction {
  if (resolvers.length === 0) return lookup
  const resolver = resolverOf(resolvers)
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
