import type { Provider } from '../../dns/provider.ts'
import { cloudflare } from '../../dns/providers/cloudflare.ts'
import { digitalOcean } from '../../dns/providers/digitalocean.ts'
import { powerDns } from '../../dns/providers/powerdns.ts'
import type { DnsFlipInputs } from './inputs.ts'

/** The provider that the inputs name, with their credentials. */
export function providerOf({ provider, token, apiUrl }: DnsFlipInputs): Provider {
  switch (provider) {
    case 'cloudflare':
      return cloudflare({ token, apiUrl })
    case 'digitalocean':
      return digitalOcean({ token, apiUrl })
    case 'powerdns':
      return powerDns({ token, apiUrl: apiUrl ?? '' })
  }
}
