// Nodes behind nginx and Consul for the suites of the Consul actions, and the inputs that fit them.
import { onTestFinished } from 'vitest'
import { type App, startApp } from '../bed/app.ts'
import { type Consul, startConsul } from '../bed/consul.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { startUpsync, type Upsync, type UpsyncOptions } from '../bed/upsync.ts'

export interface ConsulBed {
  consul: Consul
  sshd: Sshd
  apps: App[]
  upsync: Upsync
  /** Inputs by which consul-restart succeeds. */
  inputs: Record<string, string>
  /** The same for nodes without traffic, whose requests in flight cannot be observed. */
  quietInputs: Record<string, string>
  /** The inputs of them that consul-drain has, for one node. */
  drainInputs: (app: App) => Record<string, string>
  key: (app: App) => string
  stored: (app: App) => Promise<string>
  /** All that Consul holds, with its indexes. */
  everything: () => Promise<string>
  stop: () => Promise<void>
}

export const VALUE = '{"weight":1,"max_fails":2,"fail_timeout":10}'

export async function startConsulBed(
  options: { nodes?: number; upsync?: Partial<UpsyncOptions>; consul?: Consul } = {},
): Promise<ConsulBed> {
  const consul = options.consul ?? (await startConsul())
  const sshd = await startSshd()
  const names = Array.from({ length: options.nodes ?? 3 }, (_, index) => `node-${index + 1}`)
  const apps = await Promise.all(names.map((name) => startApp({ name })))
  const key = (app: App) => `upstreams/app/${app.address}`
  for (const app of apps) await consul.put(key(app), VALUE)
  const upsync = await startUpsync({ consulUrl: consul.url, app: 'app', ...options.upsync })
  await until('all nodes serve', () =>
    upsync.workers.every((worker) => worker.peers().length === apps.length),
  )
  const login = {
    'private-key': sshd.clientKey.privateKey,
    'known-hosts': sshd.knownHostsLines,
    'consul-url': consul.url,
    upstream: 'upstreams/app',
    'lb-status': upsync.statusUrl,
    'health-url': 'http://{address}/ping',
  }
  const target = (app: App) => `${app.address} ${sshd.user}@${sshd.host}:${sshd.port}`
  const cases = apps.map((app) => `${app.port}) ${app.commands.restart};;`)
  const inputs = {
    ...login,
    nodes: apps.map(target).join('\n'),
    release: 'v2',
    restart: `case $EVENKEEL_PORT in\n${cases.join('\n')}\nesac`,
  }
  return {
    ...{ consul, sshd, apps, upsync, key, inputs },
    quietInputs: { ...inputs, 'drain-timeout': '500ms' },
    drainInputs: (app) => ({
      ...login,
      nodes: target(app),
      'drain-timeout': '500ms',
      'health-from': 'runner',
    }),
    stored: async (app) => (await consul.get(key(app)))?.value ?? '(gone)',
    everything: async () => JSON.stringify([...(await consul.list(''))]),
    stop: async () => {
      await upsync.stop()
      await Promise.all(apps.map((app) => app.stop()))
      await sshd.stop()
      await consul.stop()
    },
  }
}

/** A bed for one test; one that runs beside others hands in its own `onTestFinished`. */
export async function bedForTest(
  options: Parameters<typeof startConsulBed>[0] = {},
  onFinished: (stop: () => Promise<void>) => void = onTestFinished,
): Promise<ConsulBed> {
  const bed = await startConsulBed(options)
  onFinished(() => bed.stop())
  return bed
}
