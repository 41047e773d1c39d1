// Stands in for nginx with nginx-upsync-module, which no package brings: two nginx masters share one port
// (`reuseport`) as its two workers. Each follows Consul's keys by itself, as the module's workers do, so the
// kernel decides which of two differing states answers a connection. As in the module a change needs no reload,
// and kept-alive clients keep their connections: Lua chooses the node for each request. Unlike the module it
// never takes a node out by itself (`max_fails`), so whatever fails is seen.
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { startNginx } from './nginx.ts'
import { fileOf, findProgram } from './packages.ts'
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
  /** Pause after each answer of Consul, in milliseconds, for each worker: a range. Default 500-1,400:
   * with the time to take it over the bound is that of the module, its interval + 1 s. */
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

const defaultDelay: [number, number] = [500, 1400]

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
  const nginx = await startNginx({
    ...{ host, port, modules: ['ndk_http_module', 'ngx_http_lua_module'] },
    http: (_, folder) => configuration(options, host, port, folder),
  })
  await serve(nginx.folder, options.app, peers)
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
        try {
          await serve(nginx.folder, options.app, found)
          peers = found
        } catch (error) {
          troubles.push(`[error] the worker was not told its peers: ${error}`)
          index = 0
        }
      }
      await wait(min + Math.random() * (max - min), undefined, { signal: end.signal }).catch(() => {})
    }
  }
  const troubles: string[] = []
  const following = follow()
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
    log: () => [nginx.log(), ...troubles].join('\n'),
    stop: async () => {
      end.abort()
      thaw()
      await following
      await nginx.stop()
    },
  }
}

/** Where a worker is told by which peers to serve. */
const poolSocket = 'pool.sock'

/** Tells a worker its peers; they count from the next request on. */
async function serve(folder: string, app: string, peers: Peer[]): Promise<void> {
  const turns = peers.flatMap(({ address, weight, down }) =>
    down ? [] : Array.from({ length: Math.max(1, weight) }, () => address),
  )
  await new Promise<void>((resolve, reject) => {
    const sent = request({ socketPath: join(folder, poolSocket), method: 'POST', agent: false }, (answer) => {
      answer.resume().on('end', () => resolve())
      if (answer.statusCode !== 200) reject(new Error(`the peers were answered by ${answer.statusCode}`))
    })
    sent.on('error', reject)
    sent.end(`${turns.join(' ')}\n${statusText(app, peers)}`)
  })
}

function configuration(options: UpsyncOptions, host: string, port: number, folder: string): string {
  const { app, keepalive = 0 } = options
  const core = fileOf(findProgram('nginx'), 'usr/share/lua/5.1/resty/core.lua')
  return `
  lua_package_path "${core.replace('resty/core.lua', '?.lua')};;";
  init_by_lua_block { package.loaded.pool = { turns = {}, turn = 0, page = "" } }
  server {
    listen unix:${folder}/${poolSocket};
    location / {
      client_body_buffer_size 4m;
      client_max_body_size 4m;
      content_by_lua_block {
        ngx.req.read_body()
        local line, page = ngx.req.get_body_data():match("^([^\\n]*)\\n(.*)$")
        local turns = {}
        for ip, port in line:gmatch("([%d.]+):(%d+)") do turns[#turns + 1] = { ip, tonumber(port) } end
        local pool = package.loaded.pool
        pool.turns, pool.page = turns, page
        ngx.say("ok")
      }
    }
  }
  upstream ${app} {
    server 127.0.0.1:1;
    balancer_by_lua_block {
      local pool = package.loaded.pool
      if #pool.turns == 0 then return ngx.exit(502) end
      pool.turn = pool.turn % #pool.turns + 1
      local peer = pool.turns[pool.turn]
      assert(require("ngx.balancer").set_current_peer(peer[1], peer[2]))
    }
${keepalive > 0 ? `    keepalive ${keepalive};` : ''}
  }
  server {
    listen ${host}:${port} reuseport backlog=1024;
    # A client that stalls must not send on a connection that has just been closed as idle (after 75 s).
    keepalive_timeout 2h;
    location = /upstream_list {
      default_type text/plain;
      content_by_lua_block {
        local name, page = ngx.var.args, package.loaded.pool.page
        if not name or name == "" then page = page .. "\\n"
        elseif name ~= "${app}" then page = "${unknownUpstream}" end
        ngx.header.content_length = #page
        ngx.print(page)
      }
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
