// git's own HTTP server (git http-backend) on loopback, with a login if one is asked for.
import { execFileSync, spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

export interface GitHttpServer {
  readonly url: string
  /** The Authorization headers that came. */
  readonly logins: string[]
  stop(): void
}

/** Serves the repositories below a folder, only to who logs in with the token; `onLogin` is called while git waits. */
export async function startGitHttpServer(
  folder: string,
  token: string,
  onLogin: () => void = () => {},
): Promise<GitHttpServer> {
  const backend = join(execFileSync('git', ['--exec-path'], { encoding: 'utf8' }).trim(), 'git-http-backend')
  const logins: string[] = []
  const server = createServer((request, response) => {
    const { authorization } = request.headers
    if (authorization !== undefined) {
      logins.push(authorization)
      onLogin()
    }
    const wanted = `Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`
    if (authorization !== wanted) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
      return
    }
    const { pathname, search } = new URL(request.url ?? '/', 'http://x')
    const cgi = spawn(backend, {
      env: {
        ...{ GIT_PROJECT_ROOT: folder, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: decodeURIComponent(pathname) },
        ...{ QUERY_STRING: search.slice(1), REQUEST_METHOD: request.method ?? 'GET' },
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        REMOTE_USER: 'somebody',
      },
    })
    request.pipe(cgi.stdin)
    cgi.stdin.on('error', () => {})
    const chunks: Buffer[] = []
    cgi.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    cgi.on('close', () => {
      const answer = Buffer.concat(chunks)
      const end = answer.indexOf('\r\n\r\n')
      const headers = answer.subarray(0, end).toString().split('\r\n')
      const status = headers.find((line) => line.startsWith('Status:'))?.slice(8, 11) ?? '200'
      for (const line of headers) {
        const colon = line.indexOf(':')
        if (colon > 0 && !line.startsWith('Status:'))
          response.setHeader(line.slice(0, colon), line.slice(colon + 2))
      }
      response.writeHead(Number(status)).end(answer.subarray(end + 4))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    logins,
    stop() {
      server.close()
      server.closeAllConnections()
    },
  }
}
