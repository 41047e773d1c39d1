import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { resolverOf } from './name-servers.ts'
import type { Endpoint } from './query.ts'

/** How a connection finds its host, as the world does: through these resolvers, or as this machine does. */
export function lookupThrough(resolvers: readonly Endpoint[]): LookupFunction {
  if (resolvers.length === 0) return lookup
  const resolver = resolverOf(resolvers)
  return (host, options, callback) => {
    void Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]).then(([four, six]) => {
      // IPv4 first: many runners have no route for the other.
      const found = [four, six].flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
      const addresses = found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
      const [first] = addresses
      if (first === undefined) callback((four as PromiseRejectedResult).reason as NodeJS.ErrnoException, '')
      else if (options.all) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}
