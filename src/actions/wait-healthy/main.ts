import { type Context, prefixedLog } from '../../context.ts'
import { Failure } from '../../failure.ts'
import type { HealthCheck } from '../../health/check.ts'
import { describeAnswer, type PollResult, pollHealth } from '../../health/poll.ts'
import { makeProbe, type Vantage } from '../../health/probe.ts'
import type { Action, Run } from '../../runner/action.ts'
import { markdownTable, writeSummary } from '../../runner/summary.ts'
import { connect } from '../../ssh/connect.ts'
import { formatTarget, type Target } from '../../ssh/target.ts'
import { readInputs, type WaitHealthyInputs } from './inputs.ts'

interface Subject {
  readonly name: string
  readonly host: Target | undefined
}

export const waitHealthy: Action = {
  async main(run) {
    const inputs = run.inputs(readInputs)
    const { check } = inputs.health
    if (check === undefined) throw new TypeError('the inputs require a check')
    const subjects: Subject[] = inputs.hosts.map((host) => ({ name: formatTarget(host), host }))
    if (subjects.length === 0) subjects.push({ name: describeCheck(check), host: undefined })

    const results = await Promise.allSettled(
      subjects.map((subject) => poll(subject, check, inputs, prefixed(run.context, subjects, subject))),
    )
    const crashed = results.find((result) => result.status === 'rejected')
    if (crashed) throw crashed.reason
    const polled = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    if (inputs.dryRun) return
    await conclude(run, subjects, polled as PollResult[], check)
  },
}

/** A prefix is worth its width only where there are several hosts. */
function prefixed(context: Context, subjects: readonly Subject[], { name }: Subject): Context {
  return subjects.length === 1 ? context : { ...context, log: prefixedLog(context.log, name) }
}

/** Connects as `health-from` says and polls; undefined in a dry run, which stops before the first probe. */
async function poll(
  { host, name }: Subject,
  check: HealthCheck,
  { health, credentials, dryRun }: WaitHealthyInputs,
  context: Context,
): Promise<PollResult | undefined> {
  const login = health.from === 'node' ? host : health.from
  const connection =
    login === 'runner' || login === undefined || credentials === undefined
      ? undefined
      : await connect(login, credentials, context)
  const vantage: Vantage = connection ?? 'runner'
  context.log.info(`asking ${describeCheck(check)} from ${connection?.name ?? 'the runner'}`)
  try {
    if (dryRun) return undefined
    const tcpHost = health.from === 'node' || host === undefined ? '127.0.0.1' : host.host
    const probe = makeProbe(check, vantage, { placeholders: { name: host?.host ?? name }, tcpHost })
    return await pollHealth(probe, health.policy, context)
  } finally {
    connection?.close()
  }
}

async function conclude(
  run: Run,
  subjects: readonly Subject[],
  results: readonly PollResult[],
  check: HealthCheck,
): Promise<void> {
  // The outputs speak for the one that decided: the first unhealthy one, else the slowest.
  const decisive =
    results.find((result) => !result.healthy) ??
    results.reduce((slowest, result) => (result.durationMs > slowest.durationMs ? result : slowest))
  run.output('healthy', decisive.healthy)
  run.output('attempts', decisive.attempts)
  run.output('duration-ms', Math.round(decisive.durationMs))
  run.output('last', JSON.stringify(decisive.last))
  const rows = results.map(({ healthy, attempts, durationMs, last }, index) => [
    subjects[index]?.name ?? '',
    healthy ? 'healthy' : 'NOT healthy',
    String(attempts),
    `${Math.round(durationMs)} ms`,
    describeAnswer(last),
  ])
  await writeSummary(
    `### Health: ${describeCheckPlain(check)}\n\n${markdownTable(['host', 'verdict', 'probes', 'took', 'last answer'], rows)}\n`,
  )
  if (decisive.healthy) return
  const failed = results.flatMap(({ healthy, last }, index) =>
    healthy ? [] : [`${subjects[index]?.name}: ${describeAnswer(last)}`],
  )
  throw new Failure(
    `not healthy after ${decisive.attempts} probes in ${Math.round(decisive.durationMs)} ms`,
    {
      host: failed.length === 1 ? subjects[results.indexOf(decisive)]?.name : undefined,
      seen: failed.length === 1 ? describeAnswer(decisive.last) : failed.join('; '),
      state: 'this step changed nothing.',
      hint: 'look at the log of the service on that server',
    },
  )
}

function describeCheck(check: HealthCheck): string {
  switch (check.kind) {
    case 'http':
      return check.url
    case 'tcp':
      return `TCP port ${check.port}`
    case 'command':
      return 'the health command'
  }
}

const describeCheckPlain = (check: HealthCheck) => (check.kind === 'http' ? 'HTTP' : describeCheck(check))
