// Act 3: three nodes behind nginx and Consul are restarted one by one; then the same restarts without any drain.
import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import { type App, startApp } from '../bed/app.ts'
import { type Consul, startConsul } from '../bed/consul.ts'
import { startLoad } from '../bed/load.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { startUpsync, type Upsync } from '../bed/upsync.ts'
import type { Act, Mark, Say, Span } from './act.ts'
import { loginInputs, mustSucceed } from './steps.ts'

interface Stage {
  consul: Consul
  apps: App[]
  upsync: Upsync
  sshd: Sshd
}

/** The rolling restart and its control, on the same servers. */
export async function rollingActs(say: Say): Promise<Act[]> {
  const consul = await startConsul()
  const apps = await Promise.all(['node-1', 'node-2', 'node-3'].map((name) => startApp({ name })))
  const sshd = await startSshd()
  for (const app of apps) {
    app.setStartDelay(400)
    // max_fails 0: else nginx itself shuns a node for seconds after a failure, which would make the control worse.
    await consul.put(`upstreams/app/${app.address}`, '{"weight":1,"max_fails":0,"fail_timeout":10}')
  }
  const upsync = await startUpsync({ consulUrl: consul.url, app: 'app' })
  const stage = { consul, apps, upsync, sshd }
  try {
    await until('all nodes serve', () =>
      upsync.workers.every((worker) => worker.peers().filter(({ down }) => !down).length === apps.length),
    )
    return [await rollingAct(stage, say), await controlAct(stage, say)]
  } finally {
    await upsync.stop()
    await Promise.all(apps.map((app) => app.stop()))
    await sshd.stop()
    await consul.stop()
  }
}

async function rollingAct(stage: Stage, say: Say): Promise<Act> {
  const { consul, apps, upsync, sshd } = stage
  const cases = apps.map((app) => `${app.port}) ${app.commands.restart};;`)
  const load = await startLoad({ url: upsync.url, rate: 600 })
  await load.more(600)
  const watch = watchNodes(stage)
  const { host: login, ...key } = loginInputs(sshd)
  await mustSucceed(
    'consul-restart',
    {
      ...key,
      'consul-url': consul.url,
      upstream: 'upstreams/app',
      nodes: apps.map((app) => `${app.address} ${login}`).join('\n'),
      release: 'v2',
      restart: `case $EVENKEEL_PORT in\n${cases.join('\n')}\nesac`,
      'health-url': 'http://{address}/ping',
      'lb-status': upsync.statusUrl,
    },
    say,
  )
  const spans = await watch.stop()
  await load.more(600)
  return {
    title: 'Rolling restart: drain, prove, restart, poll, undrain',
    what: 'A node is restarted only after every nginx worker has stopped sending to it and its last request is answered.',
    load: await load.stop(),
    spans,
    marks: [],
    control: false,
  }
}

async function controlAct({ apps, upsync }: Stage, say: Say): Promise<Act> {
  const load = await startLoad({ url: upsync.url, rate: 600 })
  const marks: Mark[] = []
  for (const app of apps) {
    await load.more(900)
    marks.push({ at: Date.now(), label: `restart ${app.name}` })
    await promisify(execFile)('sh', ['-c', app.commands.restart])
    await until(`${app.name} is back`, async () => (await fetch(`${app.url}/ping`)).ok)
  }
  await load.more(900)
  const report = await load.stop()
  say(`restarted without a drain: ${report.failed} of ${report.sent} requests failed`)
  return {
    title: 'Control: the same restarts without a drain',
    what: 'What a plain "restart, next" does to the same nodes under the same load.',
    load: report,
    spans: [],
    marks,
    control: true,
  }
}

/** A connection without a request: the node must stay free of requests while its drain is being proven. */
function accepts({ host, port }: App): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

/** Follows what the servers themselves say: the drains in Consul's KV, the restarts by their process ids. */
function watchNodes({ consul, apps }: Stage): { stop(): Promise<Span[]> } {
  const spans: Span[] = []
  const open = new Map<string, Span>()
  const note = (app: App, kind: 'drained' | 'restarting', now: boolean): void => {
    const key = `${app.name} ${kind}`
    const span = open.get(key)
    if (span) span.to = Date.now()
    if (now && !span) {
      const begun: Span = { lane: app.name, kind, from: Date.now(), to: Date.now(), label: kind }
      open.set(key, begun)
      spans.push(begun)
    }
    if (!now) open.delete(key)
  }
  let watching = true
  const look = async (): Promise<void> => {
    while (watching) {
      for (const app of apps) {
        const value = JSON.parse((await consul.get(`upstreams/app/${app.address}`))?.value ?? '{}') as {
          down?: number
        }
        note(app, 'drained', value.down === 1)
        note(app, 'restarting', !(await accepts(app)))
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const watched = look()
  return {
    async stop() {
      watching = false
      await watched
      return spans
    },
  }
}
