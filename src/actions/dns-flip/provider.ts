import type { Provider } from '../../dns/provider.ts'
import { cloudflare } from '../../dns/providers/cloudflare.ts'
import { digitalOcean } from '../../dns/providers/digitalocean.ts'
import { powerDns } from '../../dns/providers/powerdns.ts'
import { rfc2136 } from '../../dns/providers/rfc2136.ts'
import type { DnsFlipInputs } from './inputs.ts'

/** The provider that the inputs name, with their credentials. */
export function providerOf({ account, resolvers }: DnsFlipInputs): Provider {
  switch (account.provider) {
    case 'cloudflare':
      return cloudflare(account)
    case 'digitalocean':
      return digitalOcean(account)
    case 'powerdns':
      return powerDns(account)
    case 'rfc2136':
      return rfc2136({ ...account, resolvers })
  }
}
