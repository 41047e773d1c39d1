import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { RecordSet } from './record.ts'

/** A zone as its provider knows it. */
export interface Zone {
  /** Lower case, without the final dot. */
  readonly name: string
  /** The provider's own id of it. */
  readonly id: string
  /** Those that the provider serves it from, where it does not keep them as NS records; in the form of `name`. */
  readonly nameServers?: readonly string[]
}

/**
 * Where the records of a zone are kept and changed. A provider with transactions or prerequisites of its own uses
 * them; another one reads, compares, writes and reads back. None ever deletes a record set to make it anew: in the
 * gap, resolvers would keep the absence for as long as the SOA's minimum says.
 * Errors are `Failure`s that say what to do; none holds the credentials.
 */
export interface Provider {
  /** For people. */
  readonly name: string
  /** Throws when the zone does not exist there, or the credentials do not reach it or may not change it. */
  findZone(name: string, context: Context): Promise<Zone>
  /** All record sets of exactly these names (some may be wildcards'), of every type, in as few calls as it takes. */
  readRecordSets(zone: Zone, names: readonly string[], context: Context): Promise<RecordSet[]>
  /**
   * Throws where the provider can tell that the credentials may not change one of these record sets. Changes nothing.
   */
  checkWritable?(zone: Zone, sets: readonly RecordSet[], context: Context): Promise<void>
  /**
   * Changes a record set's values and TTL in place if it still is `expected`, and reads it back.
   * What else the provider keeps with it (a proxied flag, comments, tags) stays as it is.
   * Throws `RecordChanged`, having written nothing, when the set is another one.
   */
  writeRecordSet(zone: Zone, expected: RecordSet, next: RecordSet, context: Context): Promise<void>
}

/** A record set was not what was to be replaced: somebody else has changed it. Nothing was written. */
export class RecordChanged extends Failure {
  override readonly name = 'RecordChanged'
}
