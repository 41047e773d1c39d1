// A node of an application: a small HTTP server which is stopped and started by commands, as over SSH.
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { freePort } from './ports.ts'
import { onFreePorts, serverFolder, startProcess } from './process.ts'

const run = promisify(execFile)

export interface AppOptions {
  /** What answers say in `x-node`; default `node-<port>`. */
  name?: string
  host?: string
  port?: number
  /** Default `1`. */
  version?: string
}

export interface App {
  name: string
  host: string
  port: number
  /** `127.0.0.1:9001`, as in Consul's key. */
  address: string
  url: string
  folder: string
  /** Commands for a shell on this machine, also over SSH; `restart` returns once the new process runs, not
   * once it listens. */
  commands: { start: string; stop: string; restart: string }
  /** What the next start serves. */
  setVersion(version: string): void
  /** Whether /ping says 200 or 503; at once. */
  setHealthy(healthy: boolean): void
  /** Milliseconds from the next starts until they listen. */
  setStartDelay(ms: number): void
  /** Whether the next starts end at once with status 1. */
  setBroken(broken: boolean): void
  /** Of the process that runs now. */
  pid(): number | undefined
  log(): string
  /** Ends whatever runs and removes the folder. */
  stop(): Promise<void>
}

/**
 * Starts one node. What is started over an sshd of the bed later ends with that sshd: stop the apps first.
 */
export async function startApp(options: AppOptions = {}): Promise<App> {
  return await onFreePorts(() => start(options))
}

async function start(options: AppOptions): Promise<App> {
  const host = options.host ?? '127.0.0.1'
  const port = options.port ?? (await freePort(host))
  const name = options.name ?? `node-${port}`
  const folder = serverFolder('app')
  const inFolder = (file: string): string => join(folder, file)
  const write = (file: string, text: string): void => writeFileSync(inFolder(file), text)
  const flag = (file: string, there: boolean): void =>
    there ? write(file, '') : rmSync(inFolder(file), { force: true })
  write('app.json', JSON.stringify({ name, host, port }))
  write('version', options.version ?? '1')
  write('app.sh', script(folder))
  chmodSync(inFolder('app.sh'), 0o755)
  const command = (verb: string): string => `${inFolder('app.sh')} ${verb}`
  const url = `http://${host}:${port}`
  const log = (): string => (existsSync(inFolder('log')) ? readFileSync(inFolder('log'), 'utf8') : '')
  const pid = (): number | undefined => {
    const text = existsSync(inFolder('pid')) ? readFileSync(inFolder('pid'), 'utf8') : ''
    return text && existsSync(`/proc/${text}`) ? Number(text) : undefined
  }
  // The app itself comes and goes; what is held is a process that outlasts it and whose end cleans up.
  const holder = await startProcess({
    name,
    folder,
    command: ['/bin/sh', '-c', `${command('start')}; exec tail -f "${inFolder('log')}"`],
    ready: async () => (await fetch(`${url}/ping`, { headers: { connection: 'close' } })).status === 200,
  })
  return {
    name,
    host,
    port,
    address: `${host}:${port}`,
    url,
    folder,
    commands: { start: command('start'), stop: command('stop'), restart: command('restart') },
    setVersion: (version) => write('version', version),
    setHealthy: (healthy) => flag('unhealthy', !healthy),
    setStartDelay: (ms) => write('start-delay', String(ms)),
    setBroken: (broken) => flag('broken', broken),
    pid,
    log,
    stop: async () => {
      if (existsSync(inFolder('app.sh'))) await run(inFolder('app.sh'), ['kill'])
      await holder.stop()
    },
  }
}

function script(folder: string): string {
  const server = join(import.meta.dirname, 'app-server.ts')
  return `#!/bin/sh
set -e
cd '${folder}'
end() {
  [ -f pid ] || return 0
  pid=$(cat pid)
  kill "-$1" "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
  rm -f pid
}
start() {
  setsid '${process.execPath}' '${server}' '${folder}' </dev/null >>log 2>&1 &
  while [ ! -f pid ] && kill -0 $! 2>/dev/null; do sleep 0.02; done
}
case "$1" in
  start) start ;;
  stop) end TERM ;;
  kill) end KILL ;;
  restart) end TERM; start ;;
esac
`
}
