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

const ROUNDS = 11
const parts = { build: ['cp version built'], up: ['date +%s%N >started', 'cp built running'] }

interface Sample {
  /** From the start until `up` begins. */
  ms: number
  /** Until then, and all in all. */
  turnsUntilUp: number
  turns: number
}

interface Contender {
  readonly name: string
  readonly project: GitProject
  /** Deploys a commit, the newest one. */
  run(sha: string): Promise<unknown>
  readonly samples: Sample[]
}

/** All in turn, round by round, so that whatever else the machine does meets each of them. */
async function measure(contenders: readonly Contender[], proxy: DelayingProxy): Promise<void> {
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { project, run, samples } of contenders) {
      const sha = project.commit(`${Date.now()}`, parts)
      proxy.turns = []
      const begun = Date.now()
      await run(sha)
      const up = Number(project.read('started')) / 1e6
      const turnsUntilUp = proxy.turns.filter((at) => at < up).length
      // The first one has made the checkout.
      if (round > 0) samples.push({ ms: up - begun, turnsUntilUp, turns: proxy.turns.length })
    }
  }
}

function action(
  name: string,
  sshd: Sshd,
  proxy: DelayingProxy,
  ref: 'sha' | 'main' | 'push',
  node: '20' | '24',
): Contender {
  const project = makeGitProject()
  const run = async (sha: string) => {
    const result = await runAction({
      action: 'git-pull-build-up',
      inputs: {
        host: `${sshd.user}@${sshd.host}:${proxy.port}`,
        'private-key': sshd.clientKey.privateKey,
        'known-hosts': sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${proxy.port} `),
        path: project.path,
        repository: project.origin,
        ref: ref === 'main' ? 'main' : sha,
        transport: ref === 'push' ? 'push' : 'pull',
      },
      node,
      ...(ref === 'push' ? { workspace: project.work } : {}),
    })
    if (result.conclusion !== 'success') throw new Error(result.log)
  }
  return { name, project, run, samples: [] }
}

function oneLiner(name: string, sshd: Sshd, proxy: DelayingProxy): Contender {
  const project = makeGitProject()
  project.commit('0', parts)
  project.clone()
  const known = join(project.work, '..', 'known_hosts')
  writeFileSync(known, sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${proxy.port} `))
  const options = ['-F', 'none', '-i', sshd.clientKey.path, '-o', `UserKnownHostsFile=${known}`]
  const to = ['-p', String(proxy.port), `${sshd.user}@${sshd.host}`]
  const command = `cd ${project.path} && git fetch -q && git rebase -q && make build && make up`
  const run = () => promisify(execFile)(findProgram('ssh').path, [...options, ...to, command])
  return { name, project, run, samples: [] }
}

const middle = (numbers: readonly number[]) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN

const sshd = await startSshd()
const rows = []
try {
  for (const rtt of [0, 40]) {
    const proxy = await startDelayingProxy(sshd, rtt / 2)
    const plain = oneLiner('ssh one-liner', sshd, proxy)
    const contenders = [
      plain,
      action('action, ref is a commit, Node 24', sshd, proxy, 'sha', '24'),
      action('action, ref is a branch, Node 24', sshd, proxy, 'main', '24'),
      action('action, ref is a commit, Node 20', sshd, proxy, 'sha', '20'),
      action('action, commits are pushed, Node 24', sshd, proxy, 'push', '24'),
    ]
    try {
      await measure(contenders, proxy)
    } finally {
      for (const { project } of contenders) project.remove()
      proxy.stop()
    }
    for (const { name, samples } of contenders) {
      rows.push({
        'round trip (ms)': rtt,
        what: name,
        'until up (ms)': Math.round(middle(samples.map(({ ms }) => ms))),
        'ratio, round by round': Number(
          middle(samples.map(({ ms }, round) => ms / (plain.samples[round]?.ms ?? Number.NaN))).toFixed(2),
        ),
        'turns until up': middle(samples.map(({ turnsUntilUp }) => turnsUntilUp)),
        'turns, whole run': middle(samples.map(({ turns }) => turns)),
      })
    }
  }
} finally {
  await sshd.stop()
}
console.table(rows)
