import { createServer } from 'node:http'

const [port, version] = process.argv.slice(2)
const server = createServer((_request, response) => {
  response.setHeader('x-node', version)
  response.end(`hello from ${version}\n`)
})
server.listen(Number(port), '127.0.0.1')
// Finishes what it has begun; the connections that nginx keeps idle need no answer.
process.on('SIGTERM', () => server.close(() => process.exit(0)))
