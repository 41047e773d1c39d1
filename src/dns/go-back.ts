// What is done with the writes of a run that did not come to its end.
import { type Context, throwIfCancelled } from '../context.ts'
import { describeError, Failure } from '../failure.ts'
import type { HttpCheck } from '../health/probe.ts'
import { type NameServer, PROOF, proveAtNameServers } from './name-servers.ts'
import { unwellNames } from './preflight.ts'
import type { Provider, Zone } from './provider.ts'
import { isRecordType, type RecordSet } from './record.ts'
import {
  describeStanding,
  isTtlOnly,
  revertWrites,
  type StandingRecord,
  standingOf,
  type Write,
} from './writes.ts'

export interface GoingBack {
  readonly provider: Provider
  readonly zone: Zone
  readonly servers: readonly NameServer[]
  readonly onFailure: 'revert' | 'stop'
  /** What the old machine must answer, if names are to lead there again; undefined: it is not asked. */
  readonly check: HttpCheck | undefined
}

/** How a run ended. */
export interface Outcome {
  readonly records: readonly StandingRecord[]
  /** Milliseconds since 1970, undefined after a failure; see the outputs. */
  readonly safeFrom: number | undefined
  readonly unchecked: readonly string[]
  readonly failure: Failure | undefined
}

/** After a failure: reverts where that is asked for and helps, and says where everything stands. */
export async function goBack(
  options: GoingBack,
  writes: readonly Write[],
  failure: Failure,
  context: Context,
): Promise<Outcome> {
  context.log.info(`failed: ${failure.message}`)
  const records = await takeBack(options, writes, context)
  const lines = records.map(describeStanding)
  const back = revertedSets(records)
  if (back.length > 0) lines.push(await provenBack(options.servers, back, context))
  return {
    records,
    safeFrom: undefined,
    unchecked: [],
    failure: new Failure(failure.message, {
      ...failure.details,
      cause: failure,
      state: lines.length === 0 ? 'nothing was changed.' : `\n  ${lines.join('\n  ')}`,
      hint:
        failure.details.hint ?? 'put right what is named above, then run the job again: it goes on from here',
    }),
  }
}

/** Reverts, or only looks where each write stands. Names whose old machine does not serve either are left. */
export async function takeBack(
  { provider, zone, onFailure, check }: Omit<GoingBack, 'servers'>,
  writes: readonly Write[],
  context: Context,
): Promise<StandingRecord[]> {
  if (onFailure === 'stop') return await standingOf(provider, zone, writes, context)
  const unwell = check === undefined ? new Map<string, string>() : await oldMachines(writes, check, context)
  const stays = (write: Write) => unwell.has(write.after.name)
  const left = await standingOf(provider, zone, writes.filter(stays), context)
  const reverted = await revertWrites(
    provider,
    zone,
    writes.filter((write) => !stays(write)),
    context,
  )
  return [
    ...left.map((record) => {
      const why = `left alone: the old machine does not serve it either, ${unwell.get(record.write.after.name)}`
      return record.standing === 'new' ? { ...record, note: why } : record
    }),
    ...reverted,
  ]
}

/** Names that going back would lead to a machine that does not serve them, with what it answers. */
async function oldMachines(
  writes: readonly Write[],
  check: HttpCheck,
  context: Context,
): Promise<ReadonlyMap<string, string>> {
  const ways = writes.flatMap((write) => {
    const { before, after } = write
    const { name, type } = before
    if (isTtlOnly(write) || !isRecordType(type)) return []
    return [{ name, type, from: after.values, to: before.values }]
  })
  return await unwellNames(ways, check, context)
}

/** Record sets that are back where they were. */
export const revertedSets = (records: readonly StandingRecord[]): RecordSet[] =>
  records.filter(({ standing }) => standing === 'reverted').map(({ write }) => write.before)

/** Whether the name servers say the old values again, as a line. */
export async function provenBack(
  servers: readonly NameServer[],
  sets: readonly RecordSet[],
  context: Context,
): Promise<string> {
  try {
    await proveAtNameServers(servers, sets, PROOF, context)
    return 'every name server answers with the old values again'
  } catch (error) {
    throwIfCancelled(context.signal)
    return `not every name server answers with the old values yet: ${describeError(error).replaceAll('\n', ' ')}`
  }
}
