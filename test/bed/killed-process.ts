// For the test that kills it: starts servers, tells what there is, and waits for its end.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { startApp } from './app.ts'
import { startConsul } from './consul.ts'
import { startNginx } from './nginx.ts'
import { findProgram } from './packages.ts'
import { startSshd } from './sshd.ts'

const [sshd, nginx, app, consul] = await Promise.all([
  startSshd(),
  startNginx({ http: (port) => `server { listen 127.0.0.1:${port}; }` }),
  startApp(),
  startConsul(),
])
const known = join(sshd.home, 'known_hosts')
writeFileSync(known, sshd.knownHostsLines)
const detached = execFileSync(findProgram('ssh').path, [
  ...['-F', '/dev/null', '-i', sshd.clientKey.path, '-p', String(sshd.port)],
  ...['-o', `UserKnownHostsFile=${known}`, `${sshd.user}@${sshd.host}`],
  'setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!',
])
process.send!({
  pids: [Number(detached), app.pid()!, sshd.pid, nginx.pid, consul.pid],
  folders: [dirname(sshd.home), nginx.folder, app.folder],
})
setInterval(() => {}, 1000)
