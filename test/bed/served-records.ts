// The record sets of a cloud's API as name servers serve them: a real PowerDNS that is written on each change.
import type { PowerDns, RecordSet } from './powerdns.ts'

/** Where a record set was at some time; empty values: it was not there. */
export interface Moment {
  name: string
  type: string
  values: string[]
}

/** Writes what has changed to the name server, and keeps what each set has been, so that a gap shows. */
export class ServedRecords {
  readonly history: Moment[] = []
  readonly #dns: PowerDns
  readonly #zone: string
  #served = new Map<string, RecordSet>()

  constructor(dns: PowerDns, zone: string) {
    this.#dns = dns
    this.#zone = zone
  }

  /** Host names with their final dot, names absolute. */
  async serve(sets: readonly RecordSet[]): Promise<void> {
    const wanted = new Map(sets.map((set) => [`${set.name} ${set.type}`, set]))
    for (const [key, set] of this.#served) if (!wanted.has(key)) wanted.set(key, { ...set, values: [] })
    for (const [key, set] of wanted) {
      if (JSON.stringify(this.#served.get(key)) === JSON.stringify(set)) continue
      await this.#dns.replace(this.#zone, set)
      this.#served.set(key, set)
      this.history.push({ name: set.name, type: set.type, values: set.values })
    }
    this.#served = new Map([...this.#served].filter(([, { values }]) => values.length > 0))
  }
}
