// A project in a bare repository and a server's checkout of it, for the tests of git-pull-build-up.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { HistoryEntry } from '../../src/git/history.ts'

/** What the Makefile of a commit does. */
export interface MakefileParts {
  build?: string[]
  up?: string[]
}

export interface GitProject {
  /** Bare repository. */
  readonly origin: string
  /** The checkout on the "server"; not there before somebody clones it. */
  readonly path: string
  /** Where commits are made. */
  readonly work: string
  /** Commits files (and a Makefile, unless one is given) and pushes them; returns the full id. */
  commit(version: string, parts?: MakefileParts, files?: Record<string, string>): string
  /** Runs git in the work copy. */
  git(...args: string[]): string
  /** Runs git in the server's checkout. */
  remote(...args: string[]): string
  clone(): void
  /** A file of the checkout, '' where there is none. */
  read(file: string): string
  history(): HistoryEntry[]
  remove(): void
}

const ENV = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
}

function git(cwd: string, args: string[]): string {
  return execFileSync('git', args, { cwd, encoding: 'utf8', env: ENV, stdio: 'pipe' }).trim()
}

/** `name` becomes the last part of the checkout's path. */
export function makeGitProject(name = 'app'): GitProject {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-git-'))
  const origin = join(folder, 'origin.git')
  const work = join(folder, 'work')
  const path = join(folder, 'server', name)
  git(folder, ['init', '-q', '--bare', '-b', 'main', origin])
  git(folder, ['init', '-q', '-b', 'main', work])
  git(work, ['remote', 'add', 'origin', origin])
  return {
    origin,
    path,
    work,
    commit(version, parts = {}, files = {}) {
      const all: Record<string, string> = { version: `${version}\n`, Makefile: makefile(parts), ...files }
      for (const [file, text] of Object.entries(all)) {
        mkdirSync(dirname(join(work, file)), { recursive: true })
        writeFileSync(join(work, file), text)
      }
      git(work, ['add', '-A'])
      git(work, ['commit', '-q', '--allow-empty', '-m', `version ${version}`])
      git(work, ['push', '-q', '-f', 'origin', 'HEAD'])
      return git(work, ['rev-parse', 'HEAD'])
    },
    git: (...args) => git(work, args),
    remote: (...args) => git(path, args),
    clone() {
      git(folder, ['clone', '-q', origin, path])
    },
    read: (file) => (existsSync(join(path, file)) ? readFileSync(join(path, file), 'utf8') : ''),
    history() {
      const text = readFileSync(join(path, '.git/evenkeel/history.jsonl'), 'utf8')
      return text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as HistoryEntry)
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** By default build and up leave the version in ignored files of the checkout. */
function makefile({ build = ['cp version built'], up = ['cp built running'] }: MakefileParts): string {
  const rule = (name: string, lines: string[]) => `${name}:\n${lines.map((line) => `\t${line}\n`).join('')}`
  return `.PHONY: build up\n${rule('build', build)}${rule('up', up)}`
}
