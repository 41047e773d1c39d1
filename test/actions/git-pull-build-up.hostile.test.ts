// Secrets, and names that try to be more than names.
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startSshd } from '../bed/sshd.ts'
import { runAction } from '../harness/action-run.ts'
import { errorsOf, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startGitHttpServer } from './git-http-server.ts'
import { gitScene } from './git-scene.ts'
import { sshInputs } from './ssh-input-cases.ts'

const scene = gitScene()

const { deploy } = scene
const inputs = (more: Record<string, string> = {}) => scene.options(more).inputs

/** Every file below a folder with its text. */
function filesBelow(folder: string): [string, string][] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => [file, readFileSync(file, 'latin1')])
}

/** The argument lists of all processes. */
function commandLines(): string {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      } catch {
        return ''
      }
    })
    .join('\n')
}

describe('the token', () => {
  const token = 'ghs_Tk7secretTk7secretTk7secretTk7secret'

  test('reaches the own GitHub host for clone, branch and fetch, and is kept nowhere', async () => {
    let seen = ''
    const server = await startGitHttpServer(dirname(scene.project.origin), token, () => {
      seen += commandLines()
    })
    // A helper of the server's own that would store what it is given.
    const store = join(scene.sshd.home, '.gitconfig')
    writeFileSync(store, '[credential]\n\thelper = store\n')
    try {
      const run = (overrides: Record<string, string>) =>
        runAction({
          action: 'git-pull-build-up',
          inputs: inputs({ repository: `${server.url}/origin.git`, token, ...overrides }),
          github: { server_url: server.url },
          secrets: { TOKEN: token },
        })
      scene.project.commit('1')
      expectSuccess(await run({}))
      const second = scene.project.commit('2')
      const result = await run({ ref: second })
      expectSuccess(result)
      expect(scene.project.read('running')).toBe('2\n')
      expect(server.logins.length).toBeGreaterThan(0)
      for (const [file, text] of [...filesBelow(scene.project.path), ...filesBelow(scene.sshd.home)]) {
        expect(text.includes(token), file).toBe(false)
      }
      expect(result.log).not.toContain(token)
      expect(seen).toContain('ls-remote')
      expect(seen).toContain('fetch')
      expect(seen).not.toContain(token)
      scene.project.commit('3')
      expectFailure(await run({ token: 'ghs_wrong', ref: 'main' }), /the token was refused/)
      expectFailure(await run({ token: '' }), /the repository is private: set the input 'token'/)
    } finally {
      server.stop()
      writeFileSync(store, '')
    }
  })

  test('goes to no other host, whatever the origin says', async () => {
    const stranger = await startGitHttpServer(dirname(scene.project.origin), 'something else')
    try {
      scene.project.commit('1')
      const result = await deploy({ repository: `${stranger.url}/origin.git`, token })
      expectFailure(result, /the token was refused, or the origin is not on https:\/\/github\.com/)
      expect(stranger.logins).toEqual([])
      expect(existsSync(scene.project.path)).toBe(false)
    } finally {
      stranger.stop()
    }
  })
})

test('values of env reach build, up and health as they are, and show up nowhere else', async () => {
  const lines = `-----BEGIN-----\n  "a" $(id) \`id\` 'b'\n\n-----END-----`
  const secret = `it's "quoted" $(id) \`id\` \\ ; ünï # end`
  scene.project.commit('1', {
    build: [
      'printf %s "$$VALUE" | cksum >built.sum',
      'echo under way; until test -f go; do sleep 0.05; done',
    ],
    up: [
      'printf %s "$$LINES" | cksum >lines.sum',
      'printf %s "$$VALUE" | cksum >up.sum',
      'test -n "$$EVENKEEL_RELEASE"',
    ],
  })
  let seen = ''
  let files: [string, string][] = []
  const result = await runAction({
    action: 'git-pull-build-up',
    inputs: inputs({
      env: `VALUE=${secret}\n\n# a comment\nEMPTY=\nLINES<<END\n${lines}\nEND`,
      'health-command': 'test "$(printf %s "$VALUE" | cksum)" = "$(cat up.sum)"',
    }),
    during: async (run) => {
      await run.waitForLog(/\| under way/)
      seen = commandLines()
      files = filesBelow(scene.project.path)
      writeFileSync(join(scene.project.path, 'go'), '')
    },
  })
  expectSuccess(result)
  const sum = execFileSync('cksum', { input: secret, encoding: 'utf8' })
  expect(scene.project.read('built.sum')).toBe(sum)
  expect(scene.project.read('up.sum')).toBe(sum)
  expect(scene.project.read('lines.sum')).toBe(execFileSync('cksum', { input: lines, encoding: 'utf8' }))
  const part = '$(id) `id`'
  expect(seen).not.toContain(part)
  expect(seen).toContain('evenkeel-')
  for (const [file, text] of [...files, ...filesBelow(scene.project.path)])
    expect(text.includes(part), file).toBe(false)
  const folder = join(scene.project.path, '.git/evenkeel')
  expect(statSync(folder).mode & 0o077).toBe(0)
})

describe('names are names', () => {
  test.each([
    'with space and \'quote\' "double" $(touch pwned) `touch pwned`',
    '-rf',
    'größe-naïve-日本',
    '*',
    'a\\b;touch pwned',
  ])('the path %j', async (name) => {
    scene.renew(name)
    scene.project.commit('1')
    expectSuccess(await deploy())
    expect(scene.project.read('running')).toBe('1\n')
    const second = scene.project.commit('2')
    expectSuccess(await deploy({ ref: second }))
    expect(scene.project.read('running')).toBe('2\n')
    expect(readdirSync(dirname(scene.project.path))).toEqual([name])
    expect(existsSync(join(scene.sshd.home, 'pwned'))).toBe(false)
  })

  test('a relative path that begins with a dash lies below the home folder', async () => {
    scene.project.commit('1')
    expectSuccess(await deploy({ path: '-x $(touch pwned)' }))
    expect(readFileSync(join(scene.sshd.home, '-x $(touch pwned)/running'), 'utf8')).toBe('1\n')
    expectSuccess(await deploy({ path: '~/with tilde' }))
    expect(existsSync(join(scene.sshd.home, 'with tilde/running'))).toBe(true)
    expect(existsSync(join(scene.sshd.home, 'pwned'))).toBe(false)
  })

  test.each([
    "it's-$(touch${IFS}pwned)",
    'a;touch',
    '日本/ü',
    'a"b',
    "'",
    '$HOME',
    '`id`',
    '--',
    'a&b|c',
  ])('the branch %j is deployed, or refused before anything happens', async (name) => {
    const sha = scene.project.commit('1')
    let valid = true
    try {
      scene.project.git('push', '-q', 'origin', `HEAD:refs/heads/${name}`)
    } catch {
      valid = false
    }
    const result = await deploy({ ref: name })
    if (valid && !name.startsWith('-')) {
      expectSuccess(result)
      expect(result.outputs['sha']).toBe(sha)
    } else expectFailure(result, /`ref` is '.*' is not the name of a branch or tag/, /no connection was made/)
    expect(existsSync(join(scene.project.path, 'pwned'))).toBe(false)
    expect(existsSync(join(scene.sshd.home, 'pwned'))).toBe(false)
  })

  test('what a commit says cannot be a command of the runner', async () => {
    scene.project.commit('1', {
      build: ['echo "::error::from the build"; echo "::set-output name=sha::evil"', 'cp version built'],
    })
    const result = await deploy()
    expectSuccess(result)
    expect(errorsOf(result)).toBe('')
    expect(result.outputs['sha']).not.toBe('evil')
  })
})

describe('refused with a clear error', () => {
  test.each([
    [{ ref: '0123abc' }, /there is no branch or tag '0123abc'.*must be given in full/],
    [{ ref: 'no-such-branch' }, /there is no branch or tag/],
    [
      { ref: '0123456789abcdef0123456789abcdef01234567' },
      /the commit 0123456789\w+ is not in the repository/,
    ],
    [{ ref: '--upload-pack=touch pwned' }, /is not the name of a branch/],
    [{ path: '' }, /`path` is required/],
    [{ path: '/' }, /is the root of the server/],
    [{ repository: '--upload-pack=id' }, /not an address that git clones from/],
    [{ repository: 'ext::sh -c id' }, /not an address that git clones from/],
    [{ repository: 'https://u:secret@example.com/x' }, /holds a password/],
    [{ repository: '' }, /there is nothing to pull from.*\n.*\n.*\n.*repository/],
    [{ repository: '/no/such/repository' }, /could not be read/],
    [{ env: 'A B=1' }, /`env` 'A B' is not a KEY=VALUE line/],
    [{ env: 'EVENKEEL_UNIT=x' }, /names with EVENKEEL_ are taken/],
    [{ transport: 'carry' }, /`transport` is 'carry': write one of pull, push/],
    [{ sync: 'merge' }, /`sync` is 'merge': write one of exact, rebase/],
    [{ env: 'A<<END\nx' }, /`env` begins A<<END and has no line 'END' that ends it/],
  ])('%j', async (more: Record<string, string>, message) => {
    scene.project.commit('1')
    expectFailure(await deploy(more), message)
    expect(existsSync(join(scene.project.path, 'Makefile'))).toBe(false)
  })

  test('what is wrong with the host counts first, even when the repository has already failed', async () => {
    const programs = mkdtempSync(join(tmpdir(), 'evenkeel-programs-'))
    const path = process.env['PATH'] ?? ''
    // The look at the host takes longer than the question to the repository.
    const shim = (name: string, script: string) =>
      writeFileSync(join(programs, name), `#!/bin/sh\nPATH='${path}'\n${script}\n`, { mode: 0o755 })
    const asked = join(programs, 'asked')
    shim('git', `git "$@"; code=$?; case $* in *ls-remote*) : >'${asked}' ;; esac; exit $code`)
    shim('df', `until [ -e '${asked}' ]; do sleep 0.05; done; exec df "$@"`)
    const slow = await startSshd({ env: { PATH: `${programs}:${path}` } })
    try {
      const result = await deploy({ ...sshInputs(slow), repository: '' })
      expectFailure(result, /there is nothing to pull from/)
      expect(existsSync(asked)).toBe(true)
    } finally {
      await slow.stop()
      rmSync(programs, { recursive: true })
    }
  })

  test('a folder that is no checkout, and one inside of a checkout', async () => {
    scene.project.commit('1', {}, { 'sub/file': 'x' })
    scene.project.clone()
    expectFailure(
      await deploy({ path: join(scene.project.path, 'sub') }),
      /is not a git checkout/,
      /lies inside the checkout/,
    )
    const other = join(dirname(scene.project.path), 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'file'), 'x')
    expectFailure(await deploy({ path: other }), /is not a git checkout/)
    expect(readdirSync(other)).toEqual(['file'])
  })

  test('a name that is both branch and tag; a tag alone is its commit', async () => {
    const sha = scene.project.commit('1')
    scene.project.git('tag', '-a', 'both', '-m', 'x')
    scene.project.git('push', '-q', 'origin', 'both', 'HEAD:refs/heads/both')
    scene.project.commit('2')
    expectFailure(await deploy({ ref: 'both' }), /both a branch and a tag: write refs\/heads\/both or/)
    const result = await deploy({ ref: 'refs/tags/both' })
    expectSuccess(result)
    expect(result.outputs['sha']).toBe(sha)
  })

  test('a submodule without .gitmodules, and LFS without git-lfs', async () => {
    scene.project.commit('1')
    scene.project.git(
      'update-index',
      '--add',
      '--cacheinfo',
      `160000,${scene.project.git('rev-parse', 'HEAD')},module`,
    )
    scene.project.git('commit', '-q', '-m', 'with a submodule')
    scene.project.git('push', '-q', 'origin', 'HEAD')
    expectFailure(await deploy(), /submodules of the commit \w+ cannot be brought/, /does not name it/)
    scene.project.git('rm', '-q', '--cached', 'module')
    scene.project.commit('2', {}, { '.gitattributes': '*.bin filter=lfs\n' })
    expectFailure(await deploy(), /Git LFS, and git-lfs is not installed/)
  })
})
