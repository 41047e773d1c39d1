import { Failure } from '../../failure.ts'
import type { SignedAnswer } from '../signed-exchange.ts'
import type { TsigKey } from '../tsig.ts'

const BADSIG = 16
const BADKEY = 17
const BADTIME = 18

/** Whether the server says that the key may not do that. Knot calls a key that its rules do not allow a bad key. */
export function isDenial(answer: SignedAnswer | undefined): boolean {
  if (answer === undefined) return false
  return answer.rcode === 'REFUSED' || (answer.rcode === 'NOTAUTH' && answer.tsigError === BADKEY)
}

export interface Refused {
  /** What was tried, to complete "could not ...". */
  readonly what: string
  readonly zone: string
  readonly host: string
  readonly key: TsigKey
}

/** The error for an answer that is neither success nor an unmet prerequisite. */
export function refusal({ rcode, tsigError, serverTime }: SignedAnswer, refused: Refused): Failure {
  const { what, host, key } = refused
  const complaint = { [BADSIG]: 'BADSIG', [BADKEY]: 'BADKEY', [BADTIME]: 'BADTIME' }[tsigError]
  const seen = complaint ? `${rcode}, ${complaint}` : rcode
  switch (tsigError) {
    case BADSIG:
      return new Failure(`the server takes the signature by the key '${key.name}' for wrong`, {
        host,
        seen,
        hint: "`tsig-secret` must be the key's secret on the server, in base64 and whole; check the secret it comes from",
      })
    case BADKEY:
      return new Failure(`the server does not take the key '${key.name}' with ${key.algorithm}`, {
        host,
        seen,
        hint: '`tsig-name` and `tsig-algorithm` must be as the server has them (key in named.conf or knot.conf), and its rules must let this key change the zone',
      })
    case BADTIME:
      return new Failure('the clocks of this runner and of the name server differ', {
        host,
        seen: `${seen}: by its clock it is ${serverTime === undefined ? 'another time' : new Date(serverTime * 1_000).toISOString()}`,
        hint: 'set both by NTP: signatures hold for five minutes',
      })
    default:
      return new Failure(`could not ${what}`, { host, seen, hint: hintFor(rcode, refused) })
  }
}

function hintFor(rcode: string, { zone, key }: Refused): string {
  switch (rcode) {
    case 'REFUSED':
      return `the server must let the key '${key.name}' update the zone (update-policy in BIND, acl in Knot, dnsupdate and TSIG-ALLOW-DNSUPDATE in PowerDNS), must not hold it frozen (rndc thaw, knotc zone-thaw), and must be its primary (\`api-url\`); PowerDNS also refuses a wrong key, secret or clock: its log tells which`
    case 'NOTAUTH':
      return `that server is not the primary of ${zone} (\`zone\`, \`api-url\`), or, with PowerDNS, \`tsig-name\`, \`tsig-algorithm\`, \`tsig-secret\` or the clock is wrong: its log says which`
    case 'NOTZONE':
      return `\`records\` has a name that the server does not count to ${zone}: is it in a zone of its own?`
    case 'NOTIMP':
      return 'that server does not take dynamic updates: give the primary that does as `api-url`, and switch them on there'
    case 'SERVFAIL':
      return 'the server failed (a zone that is frozen or not loaded, a disk that is full, a secondary that does not reach its primary): look at its log, then run the job again'
    default:
      return "look at the server's log, then run the job again"
  }
}
