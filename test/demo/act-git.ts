// Act 2: an app is pulled from git, built and brought up beside its predecessor.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startLoad } from '../bed/load.ts'
import { startNginx } from '../bed/nginx.ts'
import { findProgram } from '../bed/packages.ts'
import { freePorts } from '../bed/ports.ts'
import { startSshd } from '../bed/sshd.ts'
import type { Act, Mark, Say } from './act.ts'
import { loginInputs, mustSucceed } from './steps.ts'

/** Deploys the app's first commit, then the second one under load. */
export async function gitAct(say: Say): Promise<Act> {
  const scene = mkdtempSync(join(tmpdir(), 'evenkeel-demo-git-'))
  const [first, second] = commits(join(scene, 'origin'))
  const run = join(scene, 'run')
  mkdirSync(run)
  writeFileSync(join(run, 'upstream.conf'), 'server 127.0.0.1:1;\n')
  const nginx = await startNginx({ http: (port) => proxyConfig(port, run) })
  const sshd = await startSshd({ path: [dirname(process.execPath)] })
  try {
    const ports = await freePorts(2)
    const env = {
      RUN_FOLDER: run,
      PORTS: ports.join(','),
      SITE: `${nginx.url}/`,
      NGINX_PID: String(nginx.pid),
    }
    const deploy = (sha: string) =>
      mustSucceed(
        'git-pull-build-up',
        {
          ...loginInputs(sshd),
          path: join(scene, 'app'),
          repository: join(scene, 'origin'),
          env: Object.entries(env)
            .map((pair) => pair.join('='))
            .join('\n'),
          'health-url': `${nginx.url}/`,
        },
        say,
        { sha },
      )
    await deploy(first)
    const load = await startLoad({ url: `${nginx.url}/`, rate: 600, expectBody: 'hello from' })
    await load.more(700)
    const marks: Mark[] = [{ at: Date.now(), label: 'deploy begins' }]
    await deploy(second)
    marks.push({ at: Date.now(), label: 'deploy done' })
    await load.more(700)
    return {
      title: 'App from git: pull, build, up',
      what: 'The server is brought to one exact commit; its own `make up` starts the new version beside the old one.',
      load: await load.stop(),
      spans: [],
      marks,
      control: false,
    }
  } finally {
    await nginx.stop()
    await sshd.stop()
    rmSync(scene, { recursive: true, force: true })
  }
}

/** A repository with two versions of the app; gives their commits. */
function commits(origin: string): [string, string] {
  const git = (...args: string[]) =>
    execFileSync(findProgram('git').path, ['-C', origin, ...args], { encoding: 'utf8' }).trim()
  cpSync(join(import.meta.dirname, 'git-app'), origin, { recursive: true })
  git('init', '--quiet', '--initial-branch=main')
  const commit = (version: string): string => {
    writeFileSync(join(origin, 'version'), `${version}\n`)
    writeFileSync(join(origin, '.gitignore'), 'build/\n')
    git('add', '--all')
    git('-c', 'user.name=You', '-c', 'user.email=you@example.com', 'commit', '--quiet', '--message', version)
    return git('rev-parse', 'HEAD')
  }
  return [commit('v1'), commit('v2')]
}

const proxyConfig = (port: number, run: string) => `
  upstream app { include ${run}/upstream.conf; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://app; proxy_next_upstream off; }
  }`
