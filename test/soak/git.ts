// Deploys of an app whose `make up` starts the new version beside the old one, under load, through the action.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startLoad } from '../bed/load.ts'
import { startNginx } from '../bed/nginx.ts'
import { findProgram } from '../bed/packages.ts'
import { freePorts } from '../bed/ports.ts'
import { startSshd } from '../bed/sshd.ts'
import { runAction } from '../harness/action-run.ts'

/** A `make up` that ends the old version before it starts the new one: what most have. */
const STOP_START = String.raw`
set -e
read -r port _ <<END
$(printf %s "$PORTS" | tr , ' ')
END
if [ -f "$RUN_FOLDER/pid" ]; then kill "$(cat "$RUN_FOLDER/pid")"; while kill -0 "$(cat "$RUN_FOLDER/pid")" 2>/dev/null; do sleep 0.01; done; fi
setsid node server.mjs "$port" "$(cat build/version)" </dev/null >/dev/null 2>&1 &
echo $! >"$RUN_FOLDER/pid"
printf 'server 127.0.0.1:%s;\n' "$port" >"$RUN_FOLDER/upstream.conf"
kill -s HUP "$NGINX_PID"
`

/**
 * Deploys `count` commits in a row while requests come in, and a quarter as many with an \`up\` that stops and starts;
 * prints the figures. Whether the first lost no request, and the others some.
 */
export async function soakGit(count: number): Promise<boolean> {
  const failed = await measure('up starts the new one beside the old one', count, 'make up')
  const control = await measure(
    'control: up stops, then starts',
    Math.max(1, Math.round(count / 4)),
    STOP_START,
  )
  return failed === 0 && control > 0
}

async function measure(what: string, count: number, up: string): Promise<number> {
  const scene = mkdtempSync(join(tmpdir(), 'evenkeel-soak-git-'))
  const run = join(scene, 'run')
  mkdirSync(run)
  writeFileSync(join(run, 'upstream.conf'), 'server 127.0.0.1:1;\n')
  const nginx = await startNginx({ http: (port) => proxyConfig(port, run) })
  const sshd = await startSshd({ path: [dirname(process.execPath)] })
  try {
    const env = {
      RUN_FOLDER: run,
      PORTS: (await freePorts(2)).join(','),
      SITE: `${nginx.url}/`,
      NGINX_PID: String(nginx.pid),
    }
    const origin = join(scene, 'origin')
    cpSync(join(import.meta.dirname, '../demo/git-app'), origin, { recursive: true })
    git(origin, 'init', '--quiet', '--initial-branch=main')
    const times: number[] = []
    const deploy = async (version: string) => {
      const result = await runAction({
        action: 'git-pull-build-up',
        inputs: {
          host: `${sshd.user}@${sshd.host}:${sshd.port}`,
          'private-key': sshd.clientKey.privateKey,
          'known-hosts': sshd.knownHostsLines,
          path: join(scene, 'app'),
          repository: origin,
          ref: commit(origin, version),
          up,
          env: Object.entries(env)
            .map((pair) => pair.join('='))
            .join('\n'),
          'health-url': `${nginx.url}/`,
          'expect-body': version,
        },
      })
      if (result.conclusion !== 'success') throw new Error(result.log)
      times.push(result.durationMs)
    }
    await deploy('v0')
    const load = await startLoad({
      url: `${nginx.url}/`,
      rate: 500,
      expectBody: 'hello from',
      durationMs: 900_000,
    })
    for (let index = 1; index <= count; index++) await deploy(`v${index}`)
    const report = await load.stop()
    const sorted = times.slice(1).sort((a, b) => a - b)
    console.log(what)
    console.table({
      deploys: count,
      'median deploy (ms)': Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0),
      'requests sent': report.sent,
      'requests a second': Math.round((report.sent / report.durationMs) * 1_000),
      'requests failed': report.failed,
      'versions seen': Object.keys(report.byNode).length,
    })
    if (report.failed > 0) console.log(report.byReason, report.failures.slice(0, 20))
    return report.failed
  } finally {
    await nginx.stop()
    await sshd.stop()
    rmSync(scene, { recursive: true, force: true })
  }
}

function git(folder: string, ...args: string[]): string {
  return execFileSync(findProgram('git').path, ['-C', folder, ...args], { encoding: 'utf8' }).trim()
}

function commit(origin: string, version: string): string {
  writeFileSync(join(origin, 'version'), `${version}\n`)
  writeFileSync(join(origin, '.gitignore'), 'build/\n')
  git(origin, 'add', '--all')
  git(origin, '-c', 'user.name=You', '-c', 'user.email=you@example.com', 'commit', '-qm', version)
  return git(origin, 'rev-parse', 'HEAD')
}

const proxyConfig = (port: number, run: string) => `
  upstream app { include ${run}/upstream.conf; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://app; proxy_next_upstream off; }
  }`
