// Submodules: their exact commits come along, and what .gitmodules says is not trusted.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startGitHttpServer } from './git-http-server.ts'
import { gitScene } from './git-scene.ts'

const scene = gitScene()

const { deploy } = scene

interface Module {
  readonly name: string
  readonly path: string
  readonly url: string
  readonly sha: string
}

/** A repository beside the project's own; returns the id of a commit with this text. */
function library(name: string, text: string, modules: readonly Module[] = []): string {
  const bare = join(dirname(scene.project.origin), `${name}.git`)
  const work = join(dirname(scene.project.origin), `${name}-work`)
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', work, '-c', 'user.name=Bo', '-c', 'user.email=b@c', ...args], {
      encoding: 'utf8',
    }).trim()
  if (!existsSync(bare)) {
    execFileSync('git', ['init', '-q', '--bare', '-b', 'main', bare])
    execFileSync('git', ['init', '-q', '-b', 'main', work])
  }
  writeFileSync(join(work, 'lib.txt'), text)
  link(work, modules)
  git('add', '-A')
  for (const { sha, path } of modules) git('update-index', '--add', '--cacheinfo', `160000,${sha},${path}`)
  git('commit', '-q', '-m', text)
  git('push', '-q', '-f', bare, 'HEAD:refs/heads/main')
  return git('rev-parse', 'HEAD')
}

/** Writes .gitmodules, and the folders that git expects there. */
function link(work: string, modules: readonly Module[]): void {
  for (const { path } of modules) mkdirSync(join(work, path), { recursive: true })
  const text = modules.map(
    ({ name, path, url }) => `[submodule "${name}"]\n\tpath = ${path}\n\turl = ${url}\n`,
  )
  if (modules.length > 0) writeFileSync(join(work, '.gitmodules'), text.join(''))
}

/** A commit of the project with these submodules. */
function commit(version: string, modules: readonly Module[], build?: string[]): string {
  link(scene.project.work, modules)
  scene.project.git('add', '-A')
  for (const { sha, path } of modules) {
    scene.project.git('update-index', '--add', '--cacheinfo', `160000,${sha},${path}`)
  }
  return scene.project.commit(version, build ? { build } : {})
}

const lib = (sha: string, more: Partial<Module> = {}): Module => ({
  ...{ name: 'lib', path: 'vendor/my lib', url: '../lib.git', sha },
  ...more,
})
const head = (path: string) => scene.project.remote('-C', path, 'rev-parse', 'HEAD')

test('their exact commits come along, nested ones too, also on the way back', async () => {
  const inner = library('inner', 'inner 1\n')
  const nested = { name: 'inner', path: 'deps/inner', url: '../inner.git', sha: inner }
  const first = library('lib', 'lib 1\n', [nested])
  const second = library('lib', 'lib 2\n', [nested])
  library('lib', 'lib 3\n', [nested])
  const good = commit('1', [lib(first)])
  expectSuccess(await deploy())
  expect(scene.project.read('vendor/my lib/lib.txt')).toBe('lib 1\n')
  expect(scene.project.read('vendor/my lib/deps/inner/lib.txt')).toBe('inner 1\n')
  expect(scene.project.remote('status', '--porcelain', '-uno')).toBe('')
  expect(scene.project.remote('submodule', 'status', '--recursive')).toContain(
    ` ${inner} vendor/my lib/deps/inner`,
  )

  commit('2', [lib(second)])
  expectSuccess(await deploy())
  expect(head('vendor/my lib')).toBe(second)

  const again = await deploy()
  expectSuccess(again)
  expect(again.outputs['changed']).toBe('false')

  expectSuccess(await deploy({ ref: good }))
  expect(scene.project.read('vendor/my lib/lib.txt')).toBe('lib 1\n')

  // A broken build, now with a further submodule: the way back restores the commits of before.
  commit(
    '4',
    [lib(second), lib(inner, { name: 'x.path y', path: 'other', url: './../inner.git' })],
    ['exit 1'],
  )
  expectFailure(await deploy(), `back at ${good.slice(0, 7)}`)
  expect(head('vendor/my lib')).toBe(first)
  expect(scene.project.read('built')).toBe('1\n')
})

test('a dry run says which change and leaves refs, objects and files as they were, in them too', async () => {
  const inner = library('inner', 'inner 1\n')
  const first = library('lib', 'lib 1\n')
  commit('1', [lib(first)])
  expectSuccess(await deploy())
  const folder = 'vendor/my lib'
  const snapshot = () =>
    ['.', folder]
      .flatMap((path) =>
        [
          ['for-each-ref'],
          ['count-objects', '-v'],
          ['rev-parse', 'HEAD'],
          ['--no-optional-locks', 'status', '--porcelain'],
        ].map((args) => scene.project.remote('-C', path, ...args)),
      )
      .concat(
        execFileSync('find', [join(scene.project.path, '.git'), '-type', 'f', '-printf', '%P %s %T@\n'], {
          encoding: 'utf8',
        }),
      )
      .join('\n')
  const before = snapshot()
  const second = library('lib', 'lib 2\n')
  commit('2', [lib(second), lib(inner, { name: 'inner', path: 'deps/inner', url: '../inner.git' })])
  const result = await deploy({ 'dry-run': 'true' })
  expectSuccess(result)
  expect(result.log).toMatch(/commit \w{7} Ada: version 2/)
  expect(result.log).toMatch(/file M\s+\.gitmodules/)
  expect(result.log).toContain(`submodule vendor/my lib: ${first.slice(0, 7)} -> ${second.slice(0, 7)}`)
  expect(result.log).toContain(`submodule deps/inner: nothing -> ${inner.slice(0, 7)}`)
  expect(snapshot()).toBe(before)
})

test('what people changed in them is kept, and a file in the way stops the deploy with everything as it was', async () => {
  const first = library('lib', 'lib 1\n')
  commit('1', [lib(first)])
  expectSuccess(await deploy())
  const folder = join(scene.project.path, 'vendor/my lib')
  writeFileSync(join(folder, 'lib.txt'), 'changed by hand\n')
  writeFileSync(join(folder, 'mine.txt'), 'mine\n')
  const second = library('lib', 'lib 2\n')
  const good = commit('2', [lib(second)])
  const result = await deploy()
  expectSuccess(result)
  expect(scene.project.read('vendor/my lib/lib.txt')).toBe('lib 2\n')
  expect(scene.project.read('vendor/my lib/mine.txt')).toBe('mine\n')
  const stash = /of the submodule vendor\/my lib were saved: (\S+) there/.exec(result.log)?.[1] ?? ''
  expect(scene.project.remote('-C', folder, 'show', `${stash}:lib.txt`)).toBe('changed by hand')

  writeFileSync(join(dirname(scene.project.origin), 'lib-work/mine.txt'), 'from the commit\n')
  const third = library('lib', 'lib 3\n')
  writeFileSync(join(folder, '.git-info'), '')
  commit('3', [lib(third)])
  expectFailure(await deploy(), /`checkout` failed/, /mine\.txt/, `${good.slice(0, 7)} runs on as before`)
  expect(scene.project.read('vendor/my lib/mine.txt')).toBe('mine\n')
  expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
  expect(head(folder)).toBe(second)
})

test('a private one on the own GitHub host is had with the token, which goes to no other', async () => {
  const token = 'ghs_Tk7secretTk7secretTk7secretTk7secret'
  const server = await startGitHttpServer(dirname(scene.project.origin), token)
  const stranger = await startGitHttpServer(dirname(scene.project.origin), 'something else')
  const run = () =>
    deploy(
      { repository: `${server.url}/origin.git`, token },
      { github: { server_url: server.url }, secrets: { TOKEN: token } },
    )
  try {
    const sha = library('lib', 'lib 1\n')
    const absolute = lib(sha, { name: 'b', path: 'b', url: `${server.url}/lib.git` })
    const good = commit('1', [lib(sha), absolute])
    expectSuccess(await run())
    expect([head('vendor/my lib'), head('b')]).toEqual([sha, sha])
    const elsewhere = { name: 'c', path: 'c', url: `${stranger.url}/lib.git` }
    commit('2', [lib(sha), absolute, lib(library('lib', '2'), elsewhere)])
    expectFailure(await run(), /submodule c: its commit \w+ cannot be had from/)
    expect(stranger.logins).toEqual([])
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    const config = readFileSync(join(scene.project.path, '.git/modules/lib/config'), 'utf8')
    expect(config).not.toContain(token)
  } finally {
    server.stop()
    stranger.stop()
  }
})

describe('.gitmodules cannot reach out', () => {
  test.each([
    ['a program as address', { url: 'ext::sh -c touch% pwned' }],
    ['an option as address', { url: '--upload-pack=touch pwned' }],
    ['a file address', { url: 'file:///etc' }],
    ['a folder of the server', { url: '/etc' }],
    ['a plain address', { url: 'http://127.0.0.1:1/x' }],
    ['an option as host', { url: 'ssh://-oProxyCommand=touch/x' }],
    ['an option as short host', { url: '-oProxyCommand=touch:x' }],
    ['a name that leads out', { name: '../../../pwned' }],
    ['a name that leads out further on', { name: 'a/../../../pwned' }],
    ['a name that is an option', { name: '-x' }],
    ['a name inside of another', { name: 'first/hooks' }],
  ] as [string, Partial<Module>][])('%s', async (_what, more) => {
    const sha = library('lib', 'lib 1\n')
    const good = scene.project.commit('1')
    expectSuccess(await deploy())
    // git itself would not check such a commit out either, but its plumbing makes one.
    commit('2', [lib(sha, { name: 'first', path: 'a-first' }), lib(sha, more)])
    expectFailure(await deploy(), /the submodules of the commit \w+ cannot be brought/, /evenkeel: submodule/)
    expect(scene.project.remote('rev-parse', 'HEAD')).toBe(good)
    for (const folder of [
      scene.project.path,
      scene.sshd.home,
      dirname(scene.project.path),
      join(scene.project.path, '.git'),
    ]) {
      expect(existsSync(join(folder, 'pwned'))).toBe(false)
    }
  })
})

test('with transport push the server fetches them itself, or the deploy is refused', async () => {
  const token = 'x'
  const server = await startGitHttpServer(dirname(scene.project.origin), token)
  const push = (more: Record<string, string> = {}) =>
    deploy(
      { transport: 'push', repository: `${server.url}/origin.git`, ...more },
      { workspace: scene.project.work, github: { server_url: server.url } },
    )
  try {
    const sha = library('lib', 'lib 1\n')
    commit('1', [lib(sha)])
    expectFailure(
      await push(),
      /submodule vendor\/my lib: its commit/,
      /commits of submodules are not pushed/,
    )
    expectSuccess(await push({ token }))
    expect(head('vendor/my lib')).toBe(sha)
  } finally {
    server.stop()
  }
})
