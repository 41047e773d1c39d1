import type { Provider } from '../../dns/provider.ts'
import { powerDns } from '../../dns/providers/powerdns.ts'
import type { DnsFlipInputs } from './inputs.ts'

/** The provider that the inputs name, with their credentials. */
export function providerOf(inputs: DnsFlipInputs): Provider {
  switch (inputs.provider) {
    case 'powerdns':
      return powerDns(inputs)
  }
}
