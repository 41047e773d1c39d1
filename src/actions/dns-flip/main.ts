import type { Context } from '../../context.ts'
import { flip } from '../../dns/flip.ts'
import { type Outcome, provenBack, revertedSets, takeBack } from '../../dns/go-back.ts'
import { takeSnapshot } from '../../dns/snapshot.ts'
import { prepare, ttlRestores } from '../../dns/ttl.ts'
import { describeStanding, describeWrite, standingOf, type Write } from '../../dns/writes.ts'
import type { Action, Run } from '../../runner/action.ts'
import { defaultRelease } from '../../runner/github-context.ts'
import { runOnRunner } from '../../runner/runner-command.ts'
import { type DnsFlipInputs, readInputs } from './inputs.ts'
import { providerOf } from './provider.ts'
import { planReport, reportOf, summarizeFlip } from './report.ts'
import { nameServers, type Survey, survey } from './survey.ts'

/** What the settle step needs to know. */
interface State {
  readonly writes: readonly Write[]
  /** Writes of a flip that is complete: they only bring TTLs back. */
  readonly ttls: readonly Write[]
}

export const dnsFlip: Action = {
  async main(run) {
    const inputs = run.inputs(readInputs)
    const { context } = run
    const found = await survey(inputs, context)
    const { plan, servers, zone } = found
    run.output('changed', 0)
    sayTtls(inputs, found, context)
    if (inputs.dryRun) {
      run.output('report', JSON.stringify(planReport(plan)))
      context.log.info('dry run: nothing was changed')
      return
    }
    const result = await (inputs.phase === 'prepare' ? runPrepare : runFlip)(run, inputs, found)
    run.output('changed', namesWritten(result))
    if (result.safeFrom !== undefined) run.output('safe-from', new Date(result.safeFrom).toISOString())
    run.output('report', JSON.stringify(reportOf(plan, result, servers)))
    await summarizeFlip(plan, result, zone.name, inputs.phase)
    if (result.failure) throw result.failure
  },

  async settle(run, state) {
    const { writes, ttls } = state as State
    const inputs = run.inputs(readInputs)
    const { context } = run
    const provider = providerOf(inputs)
    const zone = await provider.findZone(inputs.zone, context)
    if (ttls.length > 0) {
      const records = await standingOf(provider, zone, ttls, context)
      context.log.warn('the flip is complete; not all TTLs are back, which is safe:')
      for (const record of records) context.log.warn(describeStanding(record))
      context.log.warn('run the job again with the same `prepared` to bring them back')
      return
    }
    const records = await takeBack({ ...inputs, provider, zone }, writes, context)
    for (const record of records) context.log.warn(describeStanding(record))
    const untouched = inputs.changes.filter(
      ({ name, type }) => !writes.some(({ after }) => after.name === name && after.type === type),
    )
    if (untouched.length > 0)
      context.log.warn(`not written: ${untouched.map(({ name, type }) => `${name} ${type}`).join(', ')}`)
    const back = revertedSets(records)
    if (back.length === 0) return
    const servers = await nameServers(provider, zone, inputs, context)
    context.log.info(await provenBack(servers, back, context))
  },
}

async function runFlip(run: Run, inputs: DnsFlipInputs, found: Survey): Promise<Outcome> {
  const { steps } = found.plan
  run.output('snapshot', JSON.stringify(takeSnapshot(found.zone.name, steps, inputs.prepared)))
  return await flip(
    {
      ...inputs,
      ...found,
      steps,
      verify: command(run, 'verify', inputs.verify),
      afterFlip: command(run, 'after-flip', inputs.afterFlip),
      onWrite: (writes) => run.saveState({ writes, ttls: [] } satisfies State),
      onComplete: (ttls) => run.saveState({ writes: [], ttls } satisfies State),
    },
    run.context,
  )
}

async function runPrepare(run: Run, inputs: DnsFlipInputs, found: Survey): Promise<Outcome> {
  const { prepared: earlier, ttl = 0 } = inputs
  const { steps } = found.plan
  const snapshot = takeSnapshot(found.zone.name, steps, earlier)
  // For a run that does not come to its end: it says what the TTLs were, but not from when a flip is safe.
  run.output('snapshot', JSON.stringify({ ...snapshot, prepared: { ttl } }))
  const result = await prepare(
    {
      ...inputs,
      ...found,
      steps,
      ttl,
      earlier,
      onWrite: (writes) => run.saveState({ writes, ttls: [] } satisfies State),
    },
    run.context,
  )
  if (result.safeFrom !== undefined) {
    const safeFrom = new Date(result.safeFrom).toISOString()
    run.output('snapshot', JSON.stringify({ ...snapshot, prepared: { ttl, safeFrom } }))
    run.context.log.info(
      `a flip is safe from ${safeFrom}; give it this step's output \`snapshot\` as \`prepared\``,
    )
  }
  return result
}

/** What is to become of the TTLs once the flip is complete. */
function sayTtls({ phase, ttl, prepared }: DnsFlipInputs, { plan }: Survey, { log }: Context): void {
  if (phase !== 'flip' || ttl === undefined) return
  const restores = ttlRestores(plan.steps, prepared)
  for (const write of restores) log.info(`at the end: ${describeWrite(write)}`)
  if (restores.length === 0) log.info(`no TTL to lower to ${ttl} s, and none to bring back at the end`)
}

function namesWritten({ records }: Outcome): number {
  const written = records.filter(({ standing }) => standing === 'new')
  return new Set(written.map(({ write }) => write.after.name)).size
}

function command(run: Run, input: string, text: string | undefined) {
  if (text === undefined) return undefined
  return async (names: readonly string[]): Promise<void> => {
    const variables = { EVENKEEL_RELEASE: defaultRelease(run.github), EVENKEEL_NAMES: names.join(' ') }
    run.context.log.info(`${input}: ${names.join(', ')}`)
    await runOnRunner(input, text, variables, run.context)
  }
}
