// A flip's proof beside the servers' own change: from the write until each name server answers anew, as seen by a
// poller of its own in the same run, and until the action says that all of them do. And the calls per name.
import { setTimeout as wait } from 'node:timers/promises'
import { systemClock } from '../../src/context.ts'
import { askServer } from '../../src/dns/query.ts'
import { startApiGate } from '../actions/dns-api-gate.ts'
import { startBetween } from '../actions/dns-between.ts'
import { NEW, OLD, startDnsScene, ZONE } from '../actions/dns-scene.ts'
import { SETS, sceneOf } from '../actions/rfc2136-scene.ts'
import { type Knot, startKnot } from '../bed/knot.ts'
import { startNamed } from '../bed/named.ts'
import { ensureServers } from '../bed/packages.ts'
import { freePort } from '../bed/ports.ts'
import { makeTsigKey } from '../bed/zone.ts'
import type { ActionResult } from '../harness/action-result.ts'
import type { runAction } from '../harness/action-run.ts'

const RUNS = 5
/** How far the secondary is behind, in ms. */
const LAGS = [500, 1_000, 2_000, 5_000]

type Server = { address: string; port: number }
type Options = Omit<Parameters<typeof runAction>[0], 'action' | 'inputs'>
type Flip = (inputs: Record<string, string>, options: Options) => Promise<ActionResult>

const quiet = { info: () => {}, warn: () => {}, debug: () => {} }

/** Resolves with the time at which the server answers with the value. */
async function changeAt({ address, port }: Server, value: string): Promise<number> {
  const context = { clock: systemClock, log: quiet, signal: AbortSignal.timeout(60_000) }
  const question = { name: `www.${ZONE}`, type: 'A' as const }
  for (;;) {
    const { values } = await askServer({ ip: address, port }, question, context)
    if (values[0] === value) return performance.now()
    await wait(2)
  }
}

interface Measured {
  change: number
  proof: number
}

/** One flip of www; `writtenAt` is asked at its end. */
async function measure(
  servers: readonly Server[],
  flip: Flip,
  writtenAt: () => number,
  onPrimaryChange: () => Promise<void>,
): Promise<Measured> {
  const changes = servers.map((server) => changeAt(server, NEW))
  void changes[0]?.then(onPrimaryChange)
  let provenAt = 0
  const inputs = {
    records: `www A ${OLD} -> ${NEW}`,
    'verify-url': '',
    nameservers: servers.map(({ address, port }) => `${address}:${port}`).join('\n'),
  }
  const onLine = (line: string) => {
    if (line.startsWith('every name server answers with the new values')) provenAt = performance.now()
  }
  const result = await flip(inputs, { onLine })
  if (result.conclusion !== 'success') throw new Error(result.log)
  const changedAt = Math.max(...(await Promise.all(changes)))
  return { change: changedAt - writtenAt(), proof: provenAt - writtenAt() }
}

const median = (list: readonly number[]) =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN

const rows: Record<string, Record<string, number>> = {}
function note(title: string, runs: readonly Measured[]): void {
  rows[title] = {
    'servers changed (ms)': Math.round(median(runs.map(({ change }) => change))),
    'proof (ms)': Math.round(median(runs.map(({ proof }) => proof))),
    ratio: Number(median(runs.map(({ change, proof }) => proof / change)).toFixed(2)),
  }
}

await ensureServers(['named', 'knotd', 'knotc', 'nsupdate'])
await overPowerDns()
await overBind()
console.table(rows)
console.log('a ratio of at most 1.5 is wanted')

/** PowerDNS alone, then with a Knot that is told of a change so much later. */
async function overPowerDns(): Promise<void> {
  const scene = await startDnsScene()
  const api = await startApiGate(scene.dns.apiUrl)
  let knot: Knot | undefined
  try {
    knot = await startKnot({ secondaryOf: { [ZONE]: scene.dns } })
    const writtenAt = () => api.calls.find(({ method }) => method === 'PATCH')?.at ?? Number.NaN
    const flip: Flip = (inputs, options) => scene.flip({ 'api-url': api.url, ...inputs }, options)
    const run = async (servers: readonly Server[], onPrimaryChange = async () => {}) => {
      await scene.reset()
      await knot?.thaw(ZONE)
      await Promise.all(servers.map((server) => changeAt(server, OLD)))
      api.reset()
      return await measure(servers, flip, writtenAt, onPrimaryChange)
    }
    const alone: Measured[] = []
    for (let count = 0; count < RUNS; count++) alone.push(await run([scene.dns]))
    note('PowerDNS alone', alone)
    const calls = api.calls.length
    for (const lag of LAGS) {
      const { dns } = scene
      const behind = knot
      const runs: Measured[] = []
      for (let count = 0; count < RUNS; count++) {
        runs.push(
          await run([dns, behind], async () => {
            await wait(lag)
            await behind.thaw(ZONE)
          }),
        )
      }
      note(`PowerDNS, Knot ${lag / 1000} s behind`, runs)
    }
    api.reset()
    await scene.reset()
    const both = { records: `www A ${OLD} -> ${NEW}\napi A ${OLD} -> ${NEW}`, 'verify-url': '' }
    await flip(both, {})
    const perName = api.calls.length - calls
    console.log(`API calls: ${calls} for a flip of one name, ${perName} for each further one`)
    console.log(
      'a name takes a read for the plan, then a read, a write and a read-back; a run takes one for the zone',
    )
  } finally {
    api.stop()
    await knot?.stop()
    await scene.stop()
  }
}

/** BIND, with two Knots that it tells of each change at once. */
async function overBind(): Promise<void> {
  const key = makeTsigKey()
  const admin = makeTsigKey('admin')
  const notify = [
    { address: '127.0.0.5', port: await freePort('127.0.0.5') },
    { address: '127.0.0.6', port: await freePort('127.0.0.6') },
  ] as const
  const primary = await startNamed({
    zones: { [ZONE]: SETS },
    updates: [{ key }, { key: admin }],
    notify: [...notify],
  })
  const secondaryOf = { [ZONE]: primary }
  const knots = await Promise.all(notify.map((at) => startKnot({ ...at, secondaryOf })))
  const scene = sceneOf(primary, key, admin)
  try {
    const servers = [primary, ...knots]
    const runs: Measured[] = []
    for (let count = 0; count < RUNS; count++) {
      await scene.reset()
      await Promise.all(servers.map((server) => changeAt(server, OLD)))
      let writtenAt = Number.NaN
      const between = await startBetween(primary, (update, forward) => {
        writtenAt = performance.now()
        return forward(update)
      })
      try {
        const flip: Flip = (inputs, options) => scene.flip({ 'api-url': between.url, ...inputs }, options)
        runs.push(
          await measure(
            servers,
            flip,
            () => writtenAt,
            async () => {},
          ),
        )
      } finally {
        await between.stop()
      }
    }
    note('BIND, two Knots told by NOTIFY', runs)
  } finally {
    await Promise.all(knots.map((knot) => knot.stop()))
    await scene.stop()
  }
}
