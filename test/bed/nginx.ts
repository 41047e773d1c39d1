// A real nginx in the foreground, with a prefix of its own.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import process from 'node:process'
import { fileOf, findProgram } from './packages.ts'
import { freePort } from './ports.ts'
import { childrenOf, onFreePorts, serverFolder, startProcess, until } from './process.ts'

export interface NginxOptions {
  /** What goes into `http { }`; `port` is the one to listen on, `folder` the server's own. */
  http: (port: number, folder: string) => string
  host?: string
  /** Default: a free one. */
  port?: number
  workers?: number
  /** Modules to load, such as `ngx_http_lua_module`. */
  modules?: string[]
}

export interface Nginx {
  host: string
  port: number
  /** `http://127.0.0.1:8080`, without a final slash. */
  url: string
  folder: string
  /** Takes a new `http { }` body if one is given; resolves once workers of the new generation serve. */
  reload(http?: string): Promise<void>
  /** Of the server, for signals. */
  pid: number
  log(): string
  stop(): Promise<void>
}

/** Where a worker says which generation of the configuration it serves: one listener per nginx. */
const generationSocket = 'generation.sock'

export async function startNginx(options: NginxOptions): Promise<Nginx> {
  return await onFreePorts(() => start(options))
}

async function start(options: NginxOptions): Promise<Nginx> {
  const host = options.host ?? '127.0.0.1'
  const port = options.port ?? (await freePort(host))
  const folder = serverFolder('nginx')
  mkdirSync(join(folder, 'tmp'))
  const file = join(folder, 'nginx.conf')
  const found = findProgram('nginx')
  const modules = (options.modules ?? []).map(
    (name) => `load_module ${fileOf(found, `usr/lib/nginx/modules/${name}.so`)};\n`,
  )
  let generation = 0
  let body = options.http(port, folder)
  const write = (): void => {
    writeFileSync(
      `${file}.new`,
      modules.join('') + configuration(folder, ++generation, options.workers ?? 1, body),
    )
    renameSync(`${file}.new`, file)
  }
  write()
  const serves = async (): Promise<boolean> =>
    (await answerOf(join(folder, generationSocket))) === String(generation)
  const running = await startProcess({
    name: 'nginx',
    folder,
    command: [found.path, '-p', `${folder}/`, '-c', file, '-e', 'stderr'],
    ready: serves,
  })
  let reloading: Promise<void> = Promise.resolve()
  const reload = async (http?: string): Promise<void> => {
    body = http ?? body
    const before = childrenOf(running.pid)
    write()
    process.kill(running.pid, 'SIGHUP')
    await until('the reloaded nginx serves', async () => {
      const refused = running
        .log()
        .match(/\[emerg\].*/g)
        ?.at(-1)
      if (refused && !(await serves())) throw new Error(refused)
      // For about 100 ms both generations accept connections.
      return (await serves()) && !before.some(listens)
    })
  }
  return {
    host,
    port,
    url: `http://${host}:${port}`,
    folder,
    reload: (http) => {
      reloading = reloading.catch(() => {}).then(() => reload(http))
      return reloading
    },
    pid: running.pid,
    log: running.log,
    stop: running.stop,
  }
}

function configuration(folder: string, generation: number, workers: number, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${folder}/tmp/${kind};`)
    .join('\n')
  return `daemon off;
master_process on;
worker_processes ${workers};
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
error_log stderr notice;
events { worker_connections 4096; }
http {
${temporary}
  access_log off;
  server {
    listen unix:${folder}/${generationSocket};
    location = / { return 200 '${generation}'; }
  }
${http}
}
`
}

/** Whether a process holds a TCP socket in state LISTEN; a worker that is shutting down no longer does. */
function listens(pid: number): boolean {
  const listening = new Set(
    ['tcp', 'tcp6'].flatMap((table) =>
      readFileSync(`/proc/net/${table}`, 'utf8')
        .split('\n')
        .map((line) => line.trim().split(/ +/))
        .flatMap((fields) => (fields[3] === '0A' ? [`socket:[${fields[9]}]`] : [])),
    ),
  )
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => listening.has(readlinkSync(`/proc/${pid}/fd/${fd}`)))
  } catch (error) {
    // It ended, or closed that very file, while we looked: ended means no, otherwise look again.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return existsSync(`/proc/${pid}/fd`)
    throw error
  }
}

/** Over a fresh connection: a worker of the old generation answers none. */
async function answerOf(socketPath: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const sent = request({ socketPath, path: '/', agent: false, timeout: 2000 }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
      })
      response.on('end', () => resolve(text))
      response.on('error', reject)
    })
    sent.on('timeout', () => sent.destroy(new Error('no answer in 2 s')))
    sent.on('error', reject)
    sent.end()
  })
}
