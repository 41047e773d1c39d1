// Dynamic updates (RFC 2136), signed (TSIG, RFC 8945), as BIND, Knot and PowerDNS take them: one message holds what
// must be there (all values of the set) and what is to come, and the server does all of it or nothing.
import * as packet from 'dns-packet'
import type { Context } from '../../context.ts'
import { Failure } from '../../failure.ts'
import { type Provider, RecordChanged, type Zone } from '../provider.ts'
import { NoAnswer } from '../provider-api.ts'
import { type Endpoint, formatEndpoint } from '../query.ts'
import { formatValues, isRecordType, isSameSet, type RecordSet, type RecordType } from '../record.ts'
import { exchangeSigned, type SignedAnswer } from '../signed-exchange.ts'
import type { TsigKey } from '../tsig.ts'
import {
  addValues,
  deleteSet,
  deleteValue,
  encodeUpdate,
  nameInUse,
  setExists,
  setIs,
  type UpdateRecord,
} from '../wire.ts'
import { READ_TYPES, type ReadType, recordSetOf, typeCode } from './rfc2136-records.ts'
import { isDenial, refusal } from './rfc2136-refusals.ts'
import { primaryOf } from './rfc2136-server.ts'

export interface Rfc2136Options {
  /** `dns://<ip or host>[:port]`; empty: the primary that the zone's SOA names. */
  readonly apiUrl: string
  readonly tsig: TsigKey
  /** Asked for the primary and its address; empty: the system's. */
  readonly resolvers: readonly Endpoint[]
}

export function rfc2136(options: Rfc2136Options): Provider {
  return new Rfc2136(options)
}

/** A secondary passes an update on, and has it only a moment later. */
const READ_BACK_MS = 5_000

/** Messages over one connection. */
const AT_ONCE = 100

type Message = (id: number) => Buffer

class Rfc2136 implements Provider {
  readonly name = 'RFC 2136'
  readonly #options: Rfc2136Options
  #server: Endpoint | undefined

  constructor(options: Rfc2136Options) {
    this.#options = options
  }

  async findZone(name: string, context: Context): Promise<Zone> {
    const addresses = await primaryOf(name, this.#options, context)
    let unreached: NoAnswer | undefined
    for (const address of addresses) {
      this.#server = address
      try {
        await this.#checkZone(name, context)
        return { name, id: name }
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error
        unreached ??= error
      }
    }
    throw unreached ?? new Failure('the name server has no address', { host: name })
  }

  /** It has the zone, and takes updates with this key (one without changes). */
  async #checkZone(name: string, context: Context): Promise<void> {
    const [soa, update] = await this.#exchange(
      [question(name, 'SOA'), change(name, [setExists(name, 'SOA')], [])],
      context,
    )
    if (soa === undefined || update === undefined) throw new TypeError('two questions have two answers')
    if (soa.rcode !== 'NOERROR' && soa.rcode !== 'NXDOMAIN')
      throw this.#refusal(soa, `read the zone ${name}`, name)
    const own = soa.message.answers?.some((one) => one.type === 'SOA' && one.name.toLowerCase() === name)
    if (!own || !soa.message.flag_aa) {
      const above = soa.message.authorities?.find(({ type }) => type === 'SOA')?.name
      throw new Failure(`zone not found: ${name}`, {
        host: this.#host,
        seen: above
          ? `${name} belongs to the zone ${above} there`
          : 'it does not answer for that zone by its own authority',
        hint: "`zone` must be a zone of that server, and `api-url` the zone's primary",
      })
    }
    if (update.rcode !== 'NOERROR') throw this.#refusal(update, `change the zone ${name}`, name)
  }

  async readRecordSets(zone: Zone, names: readonly string[], context: Context): Promise<RecordSet[]> {
    const asked = names.flatMap((name) => READ_TYPES.map((type) => ({ name, type })))
    const answers = await this.#exchange(
      asked.map(({ name, type }) => question(name, type)),
      context,
    )
    const found = asked.flatMap(
      ({ name, type }, index) => this.#found(answers[index], name, type, zone) ?? [],
    )
    const byName = names
      .map((name) => found.filter((set) => set.name === name))
      .filter(({ length }) => length > 0)
    if (byName.length === 0) return []
    const checks = await this.#exchange(
      byName.map((sets) => change(zone.name, ownRecords(sets), [])),
      context,
    )
    const own: RecordSet[] = []
    for (const [index, sets] of byName.entries()) {
      if (checks[index]?.rcode === 'NOERROR') own.push(...sets)
      else own.push(...(await this.#ownOnes(zone, sets, checks[index], context)))
    }
    return own
  }

  /** The record set in an answer to a question. */
  #found(answer: SignedAnswer | undefined, name: string, type: ReadType, zone: Zone): RecordSet | undefined {
    if (answer === undefined) return undefined
    if (answer.rcode === 'NXDOMAIN') return undefined
    if (answer.rcode !== 'NOERROR') throw this.#refusal(answer, `read ${name} ${type}`, zone.name)
    return recordSetOf(answer.message, name, type, zone.name)
  }

  /**
   * Of the sets with which a name was answered, those that are its own. A wildcard answers for names that have no
   * records at all (RFC 4592); what else the server makes up (an alias, a computed record) gets an obstacle.
   */
  async #ownOnes(
    zone: Zone,
    sets: readonly RecordSet[],
    checked: SignedAnswer | undefined,
    context: Context,
  ): Promise<RecordSet[]> {
    const name = sets[0]?.name ?? ''
    if (checked && !isUnmet(checked)) throw this.#refusal(checked, `check ${name}`, zone.name)
    const [inUse, ...each] = await this.#exchange(
      [[nameInUse(name)], ...sets.map((set) => ownRecords([set]))].map((one) => change(zone.name, one, [])),
      context,
    )
    if (inUse?.rcode !== 'NOERROR') return []
    return sets.map((set, index) =>
      each[index]?.rcode === 'NOERROR'
        ? set
        : {
            ...set,
            obstacle: 'is made up by the server from something else (an alias, or a computed record)',
          },
    )
  }

  /** An update with a change that changes nothing shows whether the key may change a set, where the server tells. */
  async checkWritable(zone: Zone, sets: readonly RecordSet[], context: Context): Promise<void> {
    const known = sets.filter(isWritten)
    if (known.length === 0) return
    const answers = await this.#exchange(
      known.map((set) =>
        change(zone.name, ownRecords([set]), [deleteValue(set.name, set.type, absentValue(set))]),
      ),
      context,
    )
    const denied = known.filter((_, index) => isDenial(answers[index]))
    if (denied.length > 0) {
      throw new Failure(
        `the key '${this.#options.tsig.name}' may not change ${denied.map(({ name, type }) => `${name} ${type}`).join(', ')}`,
        {
          host: this.#host,
          seen: [...new Set(denied.map((set) => answers[known.indexOf(set)]?.rcode))].join(', '),
          hint: `allow it on the server, for just these names: update-policy { grant ${this.#options.tsig.name} name ${denied[0]?.name}. ${denied[0]?.type}; } in BIND, an acl with update-owner-name in Knot`,
        },
      )
    }
    const other = answers.find((answer) => answer.rcode !== 'NOERROR' && !isUnmet(answer))
    if (other) throw this.#refusal(other, 'try whether the records may be changed', zone.name)
  }

  async writeRecordSet(zone: Zone, expected: RecordSet, next: RecordSet, context: Context): Promise<void> {
    const { name } = next
    if (!isWritten(next) || !isWritten(expected)) throw new TypeError(`${next.type} is never written`)
    // A TTL is no part of what an update can ask for.
    const before = await this.#readOne(zone, next, context)
    if (!isSame(before, expected)) throw this.#changed(before, expected)
    const what = `change ${name} ${next.type}`
    let lost: NoAnswer | undefined
    let answer: SignedAnswer | undefined
    try {
      const prerequisites = setIs(name, expected.type, expected.values)
      const changes = [deleteSet(name, next.type), ...addValues(name, next.type, next.ttl, next.values)]
      ;[answer] = await this.#exchange([change(zone.name, prerequisites, changes)], context)
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error
      lost = error
    }
    if (answer && answer.rcode !== 'NOERROR' && !isUnmet(answer)) throw this.#refusal(answer, what, zone.name)
    const after = await this.#readBack(zone, next, answer && isUnmet(answer) ? 0 : READ_BACK_MS, context)
    if (isSame(after, next)) return
    if (lost) throw lost
    if (answer && isUnmet(answer)) throw this.#changed(after, expected)
    throw new Failure(`the server took the change of ${name} ${next.type} and did not make it`, {
      host: this.#host,
      seen: `it is ${describe(after)}, not ${describe(next)}`,
      hint: "PowerDNS passes over what its policy script (lua-dnsupdate-policy-script) forbids: look at its log; a secondary that passes updates on may lag: give the zone's primary as `api-url`",
    })
  }

  async #readBack(
    zone: Zone,
    next: RecordSet,
    patience: number,
    context: Context,
  ): Promise<RecordSet | undefined> {
    const { clock, signal } = context
    const start = clock.monotonic()
    for (let attempt = 0; ; attempt++) {
      const now = await this.#readOne(zone, next, context)
      if (isSame(now, next) || clock.monotonic() - start >= patience) return now
      await clock.sleep(Math.min(1_000, 50 * 2 ** attempt), signal)
    }
  }

  async #readOne(zone: Zone, { name, type }: RecordSet, context: Context): Promise<RecordSet | undefined> {
    const [answer] = await this.#exchange([question(name, type as RecordType)], context)
    return this.#found(answer, name, type as RecordType, zone)
  }

  async #exchange(messages: readonly Message[], context: Context): Promise<SignedAnswer[]> {
    if (this.#server === undefined) throw new TypeError('findZone comes first')
    const answers: SignedAnswer[] = []
    for (let at = 0; at < messages.length; at += AT_ONCE) {
      const some = messages.slice(at, at + AT_ONCE)
      answers.push(...(await exchangeSigned(this.#server, this.#options.tsig, some, context)))
    }
    return answers
  }

  get #host(): string {
    return this.#server ? formatEndpoint(this.#server) : ''
  }

  #refusal(answer: SignedAnswer, what: string, zone: string): Failure {
    return refusal(answer, { what, zone, host: this.#host, key: this.#options.tsig })
  }

  #changed(current: RecordSet | undefined, expected: RecordSet): RecordChanged {
    return new RecordChanged(`${expected.name} ${expected.type} was changed by somebody else`, {
      host: this.#host,
      seen: `it is ${describe(current)}, not ${describe(expected)}`,
    })
  }
}

const question =
  (name: string, type: ReadType | 'SOA'): Message =>
  (id) =>
    packet.encode({ type: 'query', id, flags: 0, questions: [{ name, type: typeCode(type) }] })

const change =
  (zone: string, prerequisites: readonly UpdateRecord[], changes: readonly UpdateRecord[]): Message =>
  (id) =>
    encodeUpdate(id, zone, prerequisites, changes)

type WrittenSet = RecordSet & { readonly type: RecordType }
const isWritten = (set: RecordSet): set is WrittenSet => isRecordType(set.type)

/** Prerequisites that hold where these sets of one name are its own. */
function ownRecords(sets: readonly RecordSet[]): UpdateRecord[] {
  const written = sets.filter(isWritten)
  if (written.length === 0) return sets.slice(0, 1).map(({ name }) => nameInUse(name))
  return written.flatMap(({ name, type, values }) => setIs(name, type, values))
}

/** The prerequisites of an update did not hold. */
const isUnmet = ({ rcode }: SignedAnswer) => rcode === 'NXRRSET' || rcode === 'NXDOMAIN'

/** A value that the set does not hold: of one more than it has values, one is not among them. */
function absentValue({ type, values }: WrittenSet): string {
  const candidates = Array.from({ length: values.length + 1 }, (_, index) => {
    if (type === 'CNAME') return `none${index}.invalid`
    return type === 'A' ? `0.0.0.${index}` : `::${index.toString(16)}`
  })
  return candidates.find((value) => !values.includes(value)) ?? ''
}

const isSame = (a: RecordSet | undefined, b: RecordSet) => a !== undefined && isSameSet(a, b)

const describe = (set: RecordSet | undefined) =>
  set === undefined ? 'not there' : `${formatValues(set.values)} (TTL ${set.ttl})`
