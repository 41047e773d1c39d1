// The application of the test bed: `node app-server.ts <folder>`. Its folder says how it behaves:
// app.json (name, host, port), version (read at the start), start-delay (milliseconds before it listens),
// broken (there: it ends at once with 1), unhealthy (there: /ping says 503). SIGTERM: no new connections,
// requests in flight are answered, end. Answers say `x-node` and `x-version`; /slow?ms=N takes that long.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import process from 'node:process'

const folder = process.argv[2]!
const inFolder = (name: string): string => join(folder, name)
const read = (name: string): string =>
  existsSync(inFolder(name)) ? readFileSync(inFolder(name), 'utf8').trim() : ''
const { name, host, port } = JSON.parse(read('app.json')) as { name: string; host: string; port: number }
const version = read('version')

if (existsSync(inFolder('broken'))) {
  console.error(`${name} ${version}: cannot start (broken on purpose)`)
  process.exit(1)
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://app')
  if (url.pathname === '/ping' && existsSync(inFolder('unhealthy'))) return answer(response, 503, 'unhealthy')
  const wait = url.pathname === '/slow' ? Number(url.searchParams.get('ms') ?? 1000) : 0
  request.resume()
  request.on('end', () => {
    if (wait > 0) setTimeout(() => answer(response, 200, 'slow'), wait)
    else answer(response, 200, url.pathname === '/ping' ? 'pong' : 'hello')
  })
})
server.keepAliveTimeout = 65_000

function answer(response: ServerResponse, status: number, word: string): void {
  response.writeHead(status, { 'content-type': 'text/plain', 'x-node': name, 'x-version': version })
  response.end(`${word} from ${name} version ${version}\n`)
}

process.on('SIGTERM', () => {
  console.log(`${name} ${version}: stopping`)
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})

writeFileSync(inFolder('pid'), String(process.pid))
setTimeout(
  () =>
    server.listen({ host, port, backlog: 1024 }, () =>
      console.log(`${name} ${version}: listening on ${host}:${port}`),
    ),
  Number(read('start-delay') || 0),
)
