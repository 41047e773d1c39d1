// Starts the new version beside the old one, points nginx at it, and ends the old one once nobody is sent there.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const { RUN_FOLDER, PORTS, SITE, NGINX_PID } = process.env
const ports = PORTS.split(',').map(Number)
const stateFile = join(RUN_FOLDER, 'running.json')
const old = existsSync(stateFile) ? JSON.parse(readFileSync(stateFile, 'utf8')) : undefined
const port = ports.find((one) => one !== old?.port)
const version = readFileSync('build/version', 'utf8').trim()

const server = spawn(process.execPath, ['server.mjs', String(port), version], {
  detached: true,
  stdio: 'ignore',
})
server.unref()
await until(async () => (await fetch(`http://127.0.0.1:${port}/`)).ok)

const upstream = join(RUN_FOLDER, 'upstream.conf')
writeFileSync(`${upstream}.new`, `server 127.0.0.1:${port};\n`)
renameSync(`${upstream}.new`, upstream)
writeFileSync(stateFile, JSON.stringify({ port, pid: server.pid }))
process.kill(Number(NGINX_PID), 'SIGHUP')

// An nginx worker of the old configuration may still take a connection for a moment after the reload.
let inARow = 0
await until(async () => {
  const answer = await fetch(SITE, { headers: { connection: 'close' } })
  inARow = answer.headers.get('x-node') === version ? inARow + 1 : 0
  await answer.arrayBuffer()
  return inARow >= 50
})
if (old) process.kill(old.pid, 'SIGTERM')

async function until(condition) {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; ) {
    if (await condition().catch(() => false)) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error('the new version does not answer')
}
