// A job's surroundings as the runner makes them: folders, contexts, and the environment of its steps.
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repositoryRoot } from './action-file.ts'
import type { Plain } from './expressions.ts'

export type NodeRelease = '20' | '24'

export interface GitHubOptions {
  sha?: string
  ref?: string
  repository?: string
  run_id?: string
  run_attempt?: string
  server_url?: string
  api_url?: string
  actor?: string
  event_name?: string
  event?: Record<string, Plain>
  token?: string
  workflow?: string
  job?: string
}

export interface JobOptions {
  env?: Record<string, string>
  github?: GitHubOptions
  node?: NodeRelease
  workspace?: string
  debug?: boolean
}

/** The folder of the Node binary of a release that the project installs for its tests. */
export function nodeFolder(release: NodeRelease): string {
  const folder = join(repositoryRoot, 'node_modules', `node${release}-linux-${process.arch}`, 'bin')
  if (!existsSync(join(folder, 'node'))) {
    throw new Error(
      `Node ${release} is not in ${folder}: run \`npm ci --ignore-scripts\` with optional packages`,
    )
  }
  return folder
}

const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The parts of the github context that are handed to steps as GITHUB_* (GitHubContext's list, shortened). */
const exported = [
  'action',
  'action_path',
  'actor',
  'api_url',
  'env',
  'event_name',
  'event_path',
  'graphql_url',
  'job',
  'output',
  'path',
  'ref',
  'ref_name',
  'ref_type',
  'repository',
  'repository_owner',
  'run_attempt',
  'run_id',
  'run_number',
  'server_url',
  'sha',
  'state',
  'step_summary',
  'workflow',
  'workspace',
]

/** The paths of the files that a step writes for the runner. */
export type StepFiles = Record<'output' | 'env' | 'path' | 'step_summary' | 'state', string>

export class Job {
  readonly trackingId = `github_${randomUUID()}`
  readonly github: Record<string, Plain>
  readonly runner: Record<string, Plain>
  readonly temp: string
  /** The job's own variables and what GITHUB_ENV has set so far. */
  readonly env: Record<string, string>
  readonly #folder: string
  readonly #base: Record<string, string>
  #prepended: string[] = []
  #files = 0

  constructor(actionPath: string, options: JobOptions) {
    const github = options.github ?? {}
    const repository = github.repository ?? 'octo-org/site'
    const [owner = '', name = ''] = repository.split('/')
    const nodePath = nodeFolder(options.node ?? '24')
    this.#folder = mkdtempSync(join(tmpdir(), 'evenkeel-runner-'))
    const work = join(this.#folder, '_work')
    this.temp = join(work, '_temp')
    const workspace = options.workspace ?? join(work, name, name)
    const home = join(this.#folder, 'home')
    const tools = join(work, '_tool')
    for (const folder of [join(this.temp, '_runner_file_commands'), workspace, home, tools]) {
      mkdirSync(folder, { recursive: true })
    }
    const event = github.event ?? {}
    const eventPath = join(this.temp, '_github_workflow_event.json')
    writeFileSync(eventPath, JSON.stringify(event))
    const ref = github.ref ?? 'refs/heads/main'
    const apiUrl = github.api_url ?? 'https://api.github.com'
    this.github = {
      action: '__run',
      action_path: actionPath,
      actor: github.actor ?? 'octocat',
      api_url: apiUrl,
      event,
      event_name: github.event_name ?? 'push',
      event_path: eventPath,
      graphql_url: `${apiUrl}/graphql`,
      job: github.job ?? 'deploy',
      ref,
      ref_name: ref.replace(/^refs\/(heads|tags)\//, ''),
      ref_type: ref.startsWith('refs/tags/') ? 'tag' : 'branch',
      repository,
      repository_owner: owner,
      run_attempt: github.run_attempt ?? '1',
      run_id: github.run_id ?? '1234567890',
      run_number: '1',
      server_url: github.server_url ?? 'https://github.com',
      sha: github.sha ?? '0123456789abcdef0123456789abcdef01234567',
      token: github.token ?? 'ghs_harness0token0harness0token0harness0',
      workflow: github.workflow ?? 'deploy',
      workspace,
    }
    this.runner = {
      arch: process.arch === 'arm64' ? 'ARM64' : 'X64',
      debug: options.debug ? '1' : '',
      environment: 'self-hosted',
      name: 'harness',
      os: 'Linux',
      temp: this.temp,
      tool_cache: tools,
      workspace: join(work, name),
    }
    this.#base = {
      CI: 'true',
      HOME: home,
      LANG: 'C.UTF-8',
      PATH: `${nodePath}:${systemPath}`,
    }
    this.env = { ...options.env }
  }

  /** Fresh, empty files for one step, their paths in the github context. */
  newFiles(): StepFiles {
    this.#files += 1
    const file = (kind: string): string => {
      const path = join(this.temp, '_runner_file_commands', `${kind}_${this.#files}`)
      writeFileSync(path, '')
      return path
    }
    const files = {
      output: file('set_output'),
      env: file('set_env'),
      path: file('add_path'),
      step_summary: file('step_summary'),
      state: file('save_state'),
    }
    Object.assign(this.github, files)
    return files
  }

  /** A later entry comes first on PATH, as the runner has it. */
  prependPath(folder: string): void {
    this.#prepended = [folder, ...this.#prepended.filter((other) => other !== folder)]
  }

  /** The whole environment of a step's process: nothing of the caller's own but what was asked for. */
  environment(stepEnv: Record<string, string>): Record<string, string> {
    const env: Record<string, string> = { ...this.#base, ...stepEnv }
    env['PATH'] = [...this.#prepended, env['PATH']].join(':')
    for (const key of exported) env[`GITHUB_${key.toUpperCase()}`] = String(this.github[key] ?? '')
    for (const [key, value] of Object.entries(this.runner)) {
      if (value !== '') env[`RUNNER_${key.toUpperCase()}`] = String(value)
    }
    return { ...env, GITHUB_ACTIONS: 'true', RUNNER_TRACKING_ID: this.trackingId }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
