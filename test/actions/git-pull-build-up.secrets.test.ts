// What others on the server and later readers can see of secrets while a deploy is at work and after it: nothing.
import { execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { runAction } from '../harness/action-run.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { startGitHttpServer } from './git-http-server.ts'
import { gitScene } from './git-scene.ts'
import { sshInputs } from './ssh-input-cases.ts'

const scene = gitScene()

const NOBODY = 65_534

/** Arguments of all processes, as root sees them, and what another user may read of their environment. */
function visibleProcesses(): string {
  const all = "for process in /proc/[0-9]*; do tr '\\0' '\\n' <$process/cmdline; done 2>/dev/null"
  const read = (script: string, user: object) =>
    execFileSync('sh', ['-c', `${script}; :`], { encoding: 'latin1', maxBuffer: 64 * 1024 * 1024, ...user })
  const asOther = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  return read(all, {}) + (process.getuid?.() === 0 ? read(all.replace('/cmdline', '/environ'), asOther) : '')
}

/** Files below folders, each with its name. */
function files(folders: readonly string[]): [string, string][] {
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .flatMap((file): [string, string][] => {
        try {
          return [[file, readFileSync(file, 'latin1')]]
        } catch {
          return []
        }
      }),
  )
}

test.each([
  'pull',
  'push',
])('%s: values of several lines and the token stay where they belong', async (transport) => {
  const token = 'ghs_Tk7secretTk7secretTk7secretTk7secret'
  const key = '-----BEGIN KEY-----\nfirst $(id) `id` "line"\n\nsecond it\'s line ünï\n-----END KEY-----'
  // Each line by itself, too: a file or a list may show it cut.
  const secrets = [token, ...key.split('\n').filter((line) => line !== '')]
  const server = await startGitHttpServer(dirname(scene.project.origin), token)
  const gate = (name: string) => `echo ${name} under way; until test -f ${name}.go; do sleep 0.05; done`
  const leaks: string[] = []
  const look = (when: string, folders: readonly string[]) => {
    const seen: [string, string][] = [
      ['processes', visibleProcesses()],
      ['log of sshd', scene.sshd.log()],
      ...files(folders),
    ]
    for (const [where, text] of seen) {
      for (const secret of secrets) {
        if (text.includes(Buffer.from(secret).toString('latin1'))) leaks.push(`${when}: ${where}: ${secret}`)
      }
    }
  }
  try {
    scene.project.commit('1', {
      build: [gate('build'), 'printf %s "$$KEY" | cksum >built'],
      up: [gate('up'), 'printf %s "$$KEY" | cksum >running'],
    })
    const result = await runAction({
      action: 'git-pull-build-up',
      inputs: {
        ...sshInputs(scene.sshd),
        ...{
          path: scene.project.path,
          repository: `${server.url}/origin.git`,
          ref: 'main',
          transport,
          token,
        },
        env: `KEY<<END\n${key}\nEND`,
        'health-command':
          'echo health under way; test -f health.go; test "$(printf %s "$KEY" | cksum)" = "$(cat running)"',
      },
      workspace: scene.project.work,
      github: { server_url: server.url },
      secrets: { TOKEN: token, KEY: key },
      during: async (run) => {
        for (const phase of ['build', 'up', 'health']) {
          await run.waitForLog(
            phase === 'health' ? /health: exit code 1/ : new RegExp(`\\| ${phase} under way`),
          )
          look(phase, [scene.project.path, scene.sshd.home, run.temp])
          writeFileSync(join(scene.project.path, `${phase}.go`), '')
        }
      },
    })
    expectSuccess(result)
    expect(scene.project.read('running')).toBe(execFileSync('cksum', { input: key, encoding: 'utf8' }))
    look('afterwards', [scene.project.path, scene.sshd.home])
    for (const secret of secrets) expect(result.log + result.summary).not.toContain(secret)
    expect(JSON.stringify(result.outputs)).not.toContain(token)
    expect(leaks).toEqual([])
  } finally {
    server.stop()
  }
})

test('the search finds an argument that is shown', () => {
  const shown = spawn('sleep', ['600'], { argv0: 'plain-to-see' })
  try {
    expect(visibleProcesses()).toContain('plain-to-see')
  } finally {
    shown.kill()
  }
})
