// Stands in for nginx with nginx-upsync-module, which no package brings: two nginx masters share one port
// (`reuseport`) as its two workers. Each follows Consul's keys by itself, as the module's workers do, so the
// kernel decides which of two differing states answers a connection.
import { setTimeout as wait } from 'node:timers/promises'
import { startNginx } from './nginx.ts'
import { freePort } from './ports.ts'
import { onFreePorts } from './process.ts'
import { type Peer, peersOf, statusText, unknownUpstream } from './upsync-format.ts'

export interface UpsyncOptions {
  /** `http://127.0.0.1:8500`; its token, if it has access control. */
  consulUrl: string
  token?: string
  /** The upstream's name: keys `upstreams/<app>/<ip>:<port>`. */
  app: string
  host?: string
  port?: number
  /** Pause after each answer of Consul, in milliseconds, for each worker: a range. Default 500-1,300: with the
   * reload the bound is that of the module, its interval + 1 s. */
  delays?: [min: number, max: number][]
  /** Idle connections kept to each node; default 0: one connection per request. */
  keepalive?: number
}

export interface UpsyncWorker {
  /** From now on it does not see what Consul says, and serves on as before: a hung agent. */
  freeze(): void
  thaw(): void
  /** What it serves by, now. */
  peers(): Peer[]
  /** Keys it could not use, as the module would write them to its error log. */
  complaints(): string[]
}

export interface Upsync {
  host: string
  port: number
  /** The site behind it. */
  url: string
  /** `/upstream_list?<app>`: the page of whichever worker answers. */
  statusUrl: string
  workers: UpsyncWorker[]
  log(): string
  stop(): Promise<void>
}

const defaultDelay: [number, number] = [500, 1300]

export async function startUpsync(options: UpsyncOptions): Promise<Upsync> {
  if (!/^[A-Za-z0-9_-]+$/.test(options.app)) throw new Error(`not an upstream name: ${options.app}`)
  return await onFreePorts(() => start(options))
}

async function start(options: UpsyncOptions): Promise<Upsync> {
  const host = options.host ?? '127.0.0.1'
  const port = options.port ?? (await freePort(host))
  const workers: Worker[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.stop()))
  }
  try {
    for (const delay of options.delays ?? [defaultDelay, defaultDelay])
      workers.push(await startWorker(options, host, port, delay))
  } catch (error) {
    await stop()
    throw error
  }
  const url = `http://${host}:${port}`
  return {
    host,
    port,
    url,
    statusUrl: `${url}/upstream_list?${options.app}`,
    workers,
    log: () => workers.map((worker) => worker.log()).join('\n'),
    stop,
  }
}

interface Worker extends UpsyncWorker {
  log(): string
  stop(): Promise<void>
}

async function startWorker(
  options: UpsyncOptions,
  host: string,
  port: number,
  [min, max]: [number, number],
): Promise<Worker> {
  const end = new AbortController()
  const prefix = `upstreams/${options.app}/`
  let index = 0
  let complaints: string[] = []
  /** Blocks until something under the prefix changes; undefined: nothing there (the old peers stay then). */
  const read = async (): Promise<Peer[] | undefined> => {
    const response = await fetch(`${options.consulUrl}/v1/kv/${prefix}?recurse&index=${index}`, {
      headers: options.token ? { 'X-Consul-Token': options.token } : {},
      signal: end.signal,
    })
    const text = await response.text()
    const answered = Number(response.headers.get('x-consul-index') ?? 0)
    // An index that went backwards is not followed, as in the module: it stays blind until Consul's time limit.
    if (answered > index) index = answered
    if (response.status !== 200) return undefined
    const found = peersOf(prefix, JSON.parse(text) as { Key: string; Value: string | null }[])
    complaints = found.complaints
    return found.peers.length > 0 ? found.peers : undefined
  }

  let peers = (await read()) ?? []
  const nginx = await startNginx({ host, port, http: () => configuration(options, host, port, peers) })
  let thawed = Promise.resolve()
  let frozen = false
  let release = (): void => {}
  const thaw = (): void => {
    frozen = false
    release()
  }
  const follow = async (): Promise<void> => {
    while (!end.signal.aborted) {
      const found = await read().catch(() => undefined)
      await thawed
      if (end.signal.aborted) return
      if (found && statusText(options.app, found) !== statusText(options.app, peers)) {
        await nginx.reload(configuration(options, host, port, found))
        peers = found
      }
      await wait(min + Math.random() * (max - min), undefined, { signal: end.signal }).catch(() => {})
    }
  }
  let failure: unknown
  const following = follow().catch((error: unknown) => {
    failure = error
  })
  return {
    freeze: () => {
      if (frozen) return
      frozen = true
      thawed = new Promise((resolve) => {
        release = resolve
      })
    },
    thaw,
    peers: () => peers,
    complaints: () => complaints,
    log: nginx.log,
    stop: async () => {
      end.abort()
      thaw()
      await following
      await nginx.stop()
      if (failure) throw failure
    },
  }
}

function configuration(options: UpsyncOptions, host: string, port: number, peers: Peer[]): string {
  const { app, keepalive = 0 } = options
  const servers = peers.map(
    ({ address, weight, maxFails, failTimeout, down }) =>
      `    server ${address} weight=${weight} max_fails=${maxFails} fail_timeout=${failTimeout}s${down ? ' down' : ''};`,
  )
  // nginx refuses an empty upstream; the module has a placeholder in its place too.
  if (servers.length === 0) servers.push('    server 127.0.0.1:1 down;')
  const status = statusText(app, peers)
  return `
  map $args $upstream_list {
    default "${unknownUpstream}";
    "" "${status}\n";
    "${app}" "${status}";
  }
  upstream ${app} {
${servers.join('\n')}
${keepalive > 0 ? `    keepalive ${keepalive};` : ''}
  }
  server {
    listen ${host}:${port} reuseport backlog=1024;
    location = /upstream_list {
      default_type text/plain;
      return 200 "$upstream_list";
    }
    location / {
      proxy_pass http://${app};
      proxy_next_upstream off;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_connect_timeout 5s;
    }
  }
`
}
