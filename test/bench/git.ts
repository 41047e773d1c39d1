// git-pull-build-up beside `ssh host "cd app && git fetch && git rebase && make build && make up"`: time from the start
// until `up` begins, at 0 and 40 ms round trip, and how often somebody waited for an answer.
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type GitProject, makeGitProject } from '../actions/git-project.ts'
import { findProgram } from '../bed/packages.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { runAction } from '../harness/action-run.ts'
import { type DelayingProxy, startDelayingProxy } from './delaying-proxy.ts'

const RUNS = 7
const parts = { build: ['cp version built'], up: ['date +%s%N >started', 'cp built running'] }

interface Sample {
  ms: number
  turns: number
}

async function measure(
  project: GitProject,
  proxy: DelayingProxy,
  run: () => Promise<unknown>,
): Promise<Sample> {
  const samples: Sample[] = []
  for (let index = 0; index <= RUNS; index++) {
    project.commit(`${Date.now()}`, parts)
    proxy.turns = 0
    const begun = Date.now()
    await run()
    samples.push({ ms: Number(project.read('started')) / 1e6 - begun, turns: proxy.turns })
  }
  // The first one has made the checkout.
  const sorted = samples.slice(1).sort((a, b) => a.ms - b.ms)
  return sorted[Math.floor(RUNS / 2)] ?? { ms: Number.NaN, turns: Number.NaN }
}

async function action(sshd: Sshd, proxy: DelayingProxy, ref: 'sha' | 'branch'): Promise<Sample> {
  const project = makeGitProject()
  try {
    return await measure(project, proxy, async () => {
      const result = await runAction({
        action: 'git-pull-build-up',
        inputs: {
          host: `${sshd.user}@${sshd.host}:${proxy.port}`,
          'private-key': sshd.clientKey.privateKey,
          'known-hosts': sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${proxy.port} `),
          path: project.path,
          repository: project.origin,
          ref: ref === 'sha' ? project.git('rev-parse', 'HEAD') : 'main',
        },
      })
      if (result.conclusion !== 'success') throw new Error(result.log)
    })
  } finally {
    project.remove()
  }
}

async function oneLiner(sshd: Sshd, proxy: DelayingProxy): Promise<Sample> {
  const project = makeGitProject()
  project.commit('0', parts)
  project.clone()
  const known = join(project.work, '..', 'known_hosts')
  writeFileSync(known, sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${proxy.port} `))
  const options = ['-F', 'none', '-i', sshd.clientKey.path, '-o', `UserKnownHostsFile=${known}`]
  const to = ['-p', String(proxy.port), `${sshd.user}@${sshd.host}`]
  const command = `cd ${project.path} && git fetch -q && git rebase -q && make build && make up`
  try {
    return await measure(project, proxy, () =>
      promisify(execFile)(findProgram('ssh').path, [...options, ...to, command]),
    )
  } finally {
    project.remove()
  }
}

const sshd = await startSshd()
const rows = []
try {
  for (const rtt of [0, 40]) {
    const proxy = await startDelayingProxy(sshd, rtt / 2)
    const plain = await oneLiner(sshd, proxy)
    for (const [what, sample] of [
      ['ssh one-liner', plain],
      ['action, ref is a commit', await action(sshd, proxy, 'sha')],
      ['action, ref is a branch', await action(sshd, proxy, 'branch')],
    ] as const) {
      rows.push({
        'round trip (ms)': rtt,
        what,
        'until up (ms)': Math.round(sample.ms),
        ratio: Number((sample.ms / plain.ms).toFixed(2)),
        'turns, whole run': sample.turns,
      })
    }
    proxy.stop()
  }
} finally {
  await sshd.stop()
}
console.table(rows)
