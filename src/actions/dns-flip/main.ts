import type { Context } from '../../context.ts'
import { upToZone, wildcardsAbove } from '../../dns/domain-name.ts'
import { checkNameServers, type FlipResult, flip, provenBack } from '../../dns/flip.ts'
import { type NameServer, zoneNameServers } from '../../dns/name-servers.ts'
import { makePlan, type Observed } from '../../dns/plan.ts'
import { liveProbes, preflight } from '../../dns/preflight.ts'
import type { Provider, Zone } from '../../dns/provider.ts'
import { formatEndpoint } from '../../dns/query.ts'
import type { RecordSet } from '../../dns/record.ts'
import { takeSnapshot } from '../../dns/snapshot.ts'
import { describeStanding, revertWrites, standingOf, type Write } from '../../dns/writes.ts'
import { Cancelled, Failure } from '../../failure.ts'
import type { Action, Run } from '../../runner/action.ts'
import { defaultRelease } from '../../runner/github-context.ts'
import { runOnRunner } from '../../runner/runner-command.ts'
import { type DnsFlipInputs, readInputs } from './inputs.ts'
import { providerOf } from './provider.ts'
import { logPlan, planFailure, planReport, reportOf, summarizeFlip, summarizePlan } from './report.ts'

/** What the settle step needs to know. */
interface State {
  readonly writes: readonly Write[]
}

export const dnsFlip: Action = {
  async main(run) {
    const inputs = run.inputs(readInputs)
    const { context } = run
    const { provider, zone, plan, servers, probes } = await survey(inputs, context)
    run.output('changed', 0)
    if (inputs.dryRun) {
      run.output('report', JSON.stringify(planReport(plan)))
      context.log.info('dry run: nothing was changed')
      return
    }
    run.output('snapshot', JSON.stringify(takeSnapshot(zone.name, plan.steps)))
    const result = await flip(
      {
        ...inputs,
        provider,
        zone,
        steps: plan.steps,
        servers,
        probes,
        verify: command(run, 'verify', inputs.verify),
        afterFlip: command(run, 'after-flip', inputs.afterFlip),
        onWrite: (writes) => run.saveState({ writes } satisfies State),
      },
      context,
    )
    run.output('changed', namesWritten(result))
    if (result.safeFrom !== undefined) run.output('safe-from', new Date(result.safeFrom).toISOString())
    run.output('report', JSON.stringify(reportOf(plan, result, servers)))
    await summarizeFlip(plan, result, zone.name)
    if (result.failure) throw result.failure
  },

  async settle(run, state) {
    const { writes } = state as State
    const inputs = run.inputs(readInputs)
    const { context } = run
    const provider = providerOf(inputs)
    const zone = await provider.findZone(inputs.zone, context)
    const revert = inputs.onFailure === 'revert'
    const records = revert
      ? await revertWrites(provider, zone, writes, context)
      : await standingOf(provider, zone, writes, context)
    for (const record of records) context.log.warn(describeStanding(record))
    const back = records.filter(({ standing }) => standing === 'reverted').map(({ write }) => write.before)
    if (back.length === 0) return
    const servers = await nameServers(provider, zone, inputs, context)
    context.log.info(await provenBack(servers, back, context))
  },
}

/** Everything that is read and tried before the first write. */
async function survey(inputs: DnsFlipInputs, context: Context) {
  try {
    const provider = providerOf(inputs)
    const zone = await provider.findZone(inputs.zone, context)
    const plan = makePlan(inputs.changes, await observe(provider, zone, inputs, context), zone.name)
    logPlan(plan, context.log)
    if (inputs.dryRun || plan.problems.length > 0) await summarizePlan(plan, zone.name)
    if (plan.problems.length > 0) throw planFailure(plan)
    const due = plan.steps.filter(({ verdict }) => verdict === 'write').map(({ current }) => current)
    await provider.checkWritable?.(zone, due, context)
    const servers = await nameServers(provider, zone, inputs, context)
    await checkNameServers(servers, plan.steps, context)
    const probes = inputs.check ? await liveProbes(inputs.changes, inputs.check) : []
    if (!inputs.check) context.log.warn('`verify-url` is empty: the new target is not tried before the flip')
    return { provider, zone, plan, servers, probes: await preflight(probes, context) }
  } catch (error) {
    if (!(error instanceof Failure) || error instanceof Cancelled) throw error
    throw new Failure(error.message, { state: 'nothing was changed.', ...error.details, cause: error })
  }
}

function namesWritten({ records }: FlipResult): number {
  const written = records.filter(({ standing }) => standing === 'new')
  return new Set(written.map(({ write }) => write.after.name)).size
}

/** The record sets at each name and above it; where there are none, also those of wildcards that may answer for it. */
async function observe(
  provider: Provider,
  zone: Zone,
  { changes }: DnsFlipInputs,
  context: Context,
): Promise<Observed> {
  const observed = new Map<string, RecordSet[]>()
  const read = async (names: readonly string[]): Promise<void> => {
    const unread = [...new Set(names)].filter((name) => !observed.has(name))
    for (const name of unread) observed.set(name, [])
    if (unread.length === 0) return
    for (const set of await provider.readRecordSets(zone, unread, context)) observed.get(set.name)?.push(set)
  }
  const names = changes.map(({ name }) => name)
  await read(names.flatMap((name) => [name, ...upToZone(name, zone.name)]))
  const absent = names.filter((name) => observed.get(name)?.length === 0)
  await read(absent.flatMap((name) => wildcardsAbove(name, zone.name)))
  return observed
}

async function nameServers(
  provider: Provider,
  zone: Zone,
  inputs: DnsFlipInputs,
  context: Context,
): Promise<NameServer[]> {
  const given = inputs.nameServers.map((address) => ({ name: formatEndpoint(address), addresses: [address] }))
  return given.length > 0 ? given : await zoneNameServers(provider, zone, inputs.resolvers, context)
}

function command(run: Run, input: string, text: string | undefined) {
  if (text === undefined) return undefined
  return async (names: readonly string[]): Promise<void> => {
    const variables = { EVENKEEL_RELEASE: defaultRelease(run.github), EVENKEEL_NAMES: names.join(' ') }
    run.context.log.info(`${input}: ${names.join(', ')}`)
    await runOnRunner(input, text, variables, run.context)
  }
}
