// A repository that calls the suite's workflows, and its runs by act on this machine.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { expect } from 'vitest'
import { actProgram } from './act-program.ts'
import { copySuite, SUITE, SUITE_VERSION, standIns } from './suite-copy.ts'

export interface ActRun {
  ok: boolean
  /** What act has printed, and after it what the steps have. */
  log: string
}

/** GitHub's API, or what stands in for it. */
export interface Api {
  readonly url: string
  readonly repository: string
  readonly token: string
}

export interface RunOptions {
  event?: string
  /** What the event says. */
  payload?: object
  inputs?: Record<string, string>
  /** Called with all that act has printed so far, as it comes. */
  onOutput?: (log: string) => void
}

const DEADLINE_MS = 150_000

export class Caller {
  readonly #scene = mkdtempSync(join(tmpdir(), 'evenkeel-act-'))
  readonly folder = join(this.#scene, 'repository')
  readonly #api: Api
  readonly #secrets: Record<string, string>
  readonly #variables: Record<string, string>
  #runs = 100

  constructor(api: Api, secrets: Record<string, string>, variables: Record<string, string> = {}) {
    this.#api = api
    this.#secrets = { ...secrets, GITHUB_TOKEN: api.token }
    this.#variables = variables
    copySuite(this.#in('suite'))
    mkdirSync(this.#in('home'))
    mkdirSync(this.folder)
    // Without a file of settings act asks which image it should use.
    writeFileSync(this.#in('home/.actrc'), '-P ubuntu-latest=-self-hosted\n')
    this.git('init', '--quiet', '--initial-branch=main')
    this.git('remote', 'add', 'origin', `https://github.com/${api.repository}.git`)
  }

  git(...args: string[]): string {
    const identity = ['-c', 'user.name=Caller', '-c', 'user.email=caller@example.com']
    return execFileSync('git', [...identity, ...args], { cwd: this.folder, encoding: 'utf8' }).trim()
  }

  /** Writes files and commits all; the commit's full id. */
  commit(message: string, files: Record<string, string>): string {
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.folder, name)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, text)
    }
    this.git('add', '--all')
    this.git('commit', '--quiet', '--allow-empty', '--message', message)
    return this.git('rev-parse', 'HEAD')
  }

  /** Runs .github/workflows/<name>.yml; each run has a number of its own. */
  async run(
    name: string,
    { event = 'workflow_dispatch', payload = {}, inputs = {}, onOutput = () => {} }: RunOptions = {},
  ): Promise<ActRun> {
    const runId = String(++this.#runs)
    const stepLog = this.#in(`steps-${runId}.log`)
    writeFileSync(stepLog, '')
    writeFileSync(this.#in('event.json'), JSON.stringify({ ...payload, inputs }))
    const variables = { ...this.#secrets, ...this.#variables }
    const args = [
      event,
      ...['--eventpath', this.#in('event.json')],
      ...['--workflows', `.github/workflows/${name}.yml`],
      ...['--env', `GITHUB_API_URL=${this.#api.url}`, '--env', `GITHUB_RUN_ID=${runId}`],
      ...['--env', `ARTIFACTS=${this.#in('artifacts')}`],
      ...['--env', `STEP_LOG=${stepLog}`, '--env', `BASH_ENV=${join(standIns, 'keep-output.bash')}`],
      ...Object.entries(inputs).flatMap(([input, value]) => ['--input', `${input}=${value}`]),
      ...Object.keys(this.#secrets).flatMap((secret) => ['--secret', secret]),
      ...Object.keys(this.#variables).flatMap((variable) => ['--var', variable]),
      ...this.#localActions().flatMap((pair) => ['--local-repository', pair]),
    ]
    const env = {
      ...{ PATH: `${join(standIns, 'bin')}:${process.env.PATH}`, HOME: this.#in('home'), LANG: 'C.UTF-8' },
      ...variables,
    }
    const run = await execute(args, this.folder, env, onOutput)
    for (const [name, secret] of Object.entries(this.#secrets)) {
      expect(run.log, `${name} is in the log`).not.toContain(secret)
    }
    return { ok: run.ok, log: `${run.log}\n${readFileSync(stepLog, 'utf8')}` }
  }

  remove(): void {
    rmSync(this.#scene, { recursive: true, force: true })
  }

  #in(name: string): string {
    return join(this.#scene, name)
  }

  /** What act would fetch from GitHub, and the folder that it takes instead. */
  #localActions(): string[] {
    const texts = [this.#in('suite'), this.folder].flatMap((root) => {
      const workflows = join(root, '.github/workflows')
      return readdirSync(workflows).map((name) => readFileSync(join(workflows, name), 'utf8'))
    })
    const artifacts = texts.join('\n').matchAll(/uses: (actions\/(upload-artifact|download-artifact)@\S+)/g)
    return [
      `${SUITE}@${SUITE_VERSION}=${this.#in('suite')}`,
      ...new Set([...artifacts].map(([, uses, name]) => `${uses}=${join(standIns, name ?? '')}`)),
    ]
  }
}

function execute(
  args: string[],
  cwd: string,
  env: Record<string, string | undefined>,
  onOutput: (log: string) => void,
): Promise<ActRun> {
  return new Promise((resolve, reject) => {
    // A group of its own, so that nothing it has started outlives the deadline.
    const child = spawn(actProgram(), args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    let log = ''
    const timer = setTimeout(() => {
      log += `\nended: it took more than ${DEADLINE_MS / 1000} s`
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    }, DEADLINE_MS)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        log += text
        onOutput(log)
      })
    }
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ ok: code === 0, log })
    })
  })
}

/** A run that must succeed; shows the log where it does not. */
export function expectOk(run: ActRun): void {
  expect(run.ok, run.log).toBe(true)
}

/** A run that must fail, with a log that matches. */
export function expectFailed(run: ActRun, ...patterns: RegExp[]): void {
  expect(run.ok, run.log).toBe(false)
  for (const pattern of patterns) expect(run.log).toMatch(pattern)
}
