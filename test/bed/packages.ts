// Finds the programs of the test bed: an override, the machine's own, or Debian's packages in a cache.
import { type ExecFileException, execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, globSync, readFileSync } from 'node:fs'
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { arch, homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

const run = promisify(execFile)

interface Program {
  /** Debian packages that bring it, unpacked together with the libraries which the machine lacks. */
  packages: string[]
  /** Folders to look in, beside PATH on the machine. */
  folders?: string[]
  /** Files (globs from the root) without which the machine's own is of no use. */
  needs?: string[]
}

const programs = {
  sshd: { packages: ['openssh-server'] },
  'sftp-server': { packages: ['openssh-sftp-server'], folders: ['usr/lib/openssh', 'usr/lib/ssh'] },
  ssh: { packages: ['openssh-client'] },
  'ssh-keygen': { packages: ['openssh-client'] },
  nginx: { packages: ['nginx'] },
  consul: { packages: ['consul'] },
  pdns_server: {
    packages: ['pdns-server', 'pdns-backend-sqlite3'],
    needs: ['usr/lib/*/pdns/libgsqlite3backend.so'],
  },
  git: { packages: ['git'] },
  make: { packages: ['make'] },
  rsync: { packages: ['rsync'] },
  named: { packages: ['bind9'] },
  knotd: { packages: ['knot'] },
  unbound: { packages: ['unbound'] },
  busybox: { packages: ['busybox'] },
  'libnss_wrapper.so': { packages: ['libnss-wrapper'], folders: ['usr/lib/*', 'usr/lib'] },
} satisfies Record<string, Program>

export type ProgramName = keyof typeof programs

/** What the suites that exist need; the others are fetched by naming them. */
const defaultPrograms: ProgramName[] = [
  'sshd',
  'sftp-server',
  'ssh',
  'ssh-keygen',
  'nginx',
  'consul',
  'pdns_server',
  'git',
  'make',
  'rsync',
  'libnss_wrapper.so',
]

export interface Found {
  /** Absolute path; run it as it is (a program from the cache brings its libraries along). */
  path: string
  /** Where its other files lie: `/`, or a folder of the cache. */
  root: string
}

const binFolders = ['usr/local/sbin', 'usr/sbin', 'usr/local/bin', 'usr/bin', 'sbin', 'bin']

/**
 * Finds a program without fetching anything.
 * @throws Error saying how to get it, when it is neither on the machine nor in the cache.
 */
export function findProgram(name: ProgramName): Found {
  const found = fromOverride(name) ?? fromMachine(name) ?? fromCache(name)
  if (!found) throw howToGet(name, 'It is neither on this machine nor in the cache of the test bed.')
  return found
}

/** A file that belongs to a found program, by a glob from its root, such as a schema or a module. */
export function fileOf(found: Found, pattern: string): string {
  const [file] = globSync(join(found.root, pattern))
  if (!file) throw new Error(`${found.path} is here, but its ${pattern} is not under ${found.root}`)
  return file
}

/** Folders with the programs that come from the cache, to put on a PATH after the machine's own. */
export function cachedProgramFolders(): string[] {
  return globSync(join(cache(), '*', 'wrapped'))
}

/**
 * Sees to it that all the programs are there; fetches what is missing into the cache. The machine itself is
 * left alone: apt works on folders of its own, and packages are only unpacked. Safe to run several at a time.
 */
export async function ensureServers(names: ProgramName[] = defaultPrograms): Promise<void> {
  const missing = names.filter((name) => !fromOverride(name) && !fromMachine(name) && !fromCache(name))
  if (missing.length === 0) return
  console.log(
    `The test bed fetches ${missing.join(', ')} from Debian's packages (once; a minute at most) ...`,
  )
  const began = Date.now()
  const work = join(cache(), `work-${process.pid}-${randomBytes(4).toString('hex')}`)
  await mkdir(work, { recursive: true, mode: 0o700 })
  try {
    const own = new Apt(join(work, 'own'))
    const older = new Apt(join(work, 'older'))
    for (const name of missing) {
      if (fromCache(name)) continue // came with another program of the same packages
      try {
        const sources = await machineSources(join(work, 'no-lists'))
        await own.prepare(
          sources.map(({ uri, suite, component }) => sourceEntry(uri, suite, component)).join('\n'),
        )
        const available = await own.has(programs[name].packages)
        if (!available) await older.prepare(olderSources(sources))
        await unpack(name, available ? own : older, work)
      } catch (error) {
        throw howToGet(name, `Fetching it failed: ${reason(error)}`)
      }
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  console.log(`The test bed has its servers (${((Date.now() - began) / 1000).toFixed(1)} s).`)
}

/** An own world for apt: its sources, lists, archives and configuration; only dpkg's status is the machine's. */
class Apt {
  readonly folder: string
  private ready = false

  constructor(folder: string) {
    this.folder = folder
  }

  async prepare(sources: string): Promise<void> {
    if (this.ready) return
    for (const folder of ['lists/partial', 'archives/partial', 'empty'])
      await mkdir(join(this.folder, folder), { recursive: true })
    // Proxies and the like are kept, hooks are not: those would run on the machine's own folders.
    const { stdout } = await run('apt-config', ['dump'])
    const kept = stdout.split('\n').filter((line) => /^(Acquire|Dir::Etc::netrc)/.test(line))
    await writeFile(join(this.folder, 'own.sources'), sources)
    await writeFile(
      join(this.folder, 'apt.conf'),
      [
        ...kept,
        `Dir::Etc::main "/dev/null";`,
        `Dir::Etc::parts "${this.folder}/empty";`,
        `Dir::Etc::sourcelist "${this.folder}/own.sources";`,
        `Dir::Etc::sourceparts "${this.folder}/empty";`,
        `Dir::Etc::preferences "/dev/null";`,
        `Dir::Etc::preferencesparts "${this.folder}/empty";`,
        `Dir::State::lists "${this.folder}/lists";`,
        `Dir::Cache "${this.folder}";`,
        `Dir::Cache::archives "${this.folder}/archives";`,
        `Debug::NoLocking "true";`,
        `APT::Sandbox::User "root";`,
        `APT::Get::List-Cleanup "false";`,
        `Acquire::Languages "none";`,
        `Acquire::Retries "3";`,
      ].join('\n'),
      { mode: 0o600 },
    )
    await this.get(['-qq', 'update'])
    this.ready = true
  }

  async has(packages: string[]): Promise<boolean> {
    const { stdout } = await run('apt-cache', ['policy', ...packages], { env: this.env() })
    const candidates = stdout.match(/^ {2}Candidate: .*/gm) ?? []
    return candidates.length === packages.length && !candidates.some((line) => line.includes('(none)'))
  }

  /** Downloads the packages and whatever of their dependencies the machine has not installed. */
  async download(packages: string[]): Promise<string[]> {
    const archives = join(this.folder, 'archives')
    await rm(archives, { recursive: true })
    await mkdir(join(archives, 'partial'), { recursive: true })
    await this.get([
      '-qq',
      '-y',
      '--reinstall',
      '--no-install-recommends',
      '--download-only',
      'install',
      ...packages,
    ])
    return (await readdir(archives))
      .filter((name) => name.endsWith('.deb'))
      .map((name) => join(archives, name))
  }

  private async get(args: string[]): Promise<void> {
    await run('apt-get', args, { env: this.env(), maxBuffer: 1 << 26 })
  }

  private env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      LC_ALL: 'C',
      DEBIAN_FRONTEND: 'noninteractive',
      APT_CONFIG: join(this.folder, 'apt.conf'),
    }
  }
}

interface Source {
  uri: string
  suite: string
  component: string
}

/**
 * The machine's package sources that belong to its release, whatever their format and host. They are read from
 * what apt would fetch, since without fetched lists (as in a container image) apt names no other target.
 */
async function machineSources(folder: string): Promise<Source[]> {
  await mkdir(join(folder, 'partial'), { recursive: true })
  const own = ['-o', `Dir::State::Lists=${folder}`, '-o', 'Debug::NoLocking=true']
  const { stdout } = await run('apt-get', [...own, 'update', '--print-uris'], { maxBuffer: 1 << 26 })
  const found = stdout.matchAll(/^'([^']+\/)dists\/([^']+)\/([^/']+)\/binary-[^/']+\/Packages[^/']*'/gm)
  const all = new Map(
    [...found].map(([, uri, suite, component]) => [
      `${uri} ${suite} ${component}`,
      { uri: uri!, suite: suite!, component: component! },
    ]),
  )
  const codename = osRelease('VERSION_CODENAME')
  const sources = [...all.values()]
  const ofRelease = sources.filter(({ suite }) => suite === codename || suite.startsWith(`${codename}-`))
  const chosen = ofRelease.length > 0 ? ofRelease : sources
  if (chosen.length === 0) throw new Error('apt has no package sources on this machine (see /etc/apt)')
  return chosen
}

/** The last release that had Consul, from the same place as the machine's own packages. */
function olderSources(sources: Source[]): string {
  const codename = osRelease('VERSION_CODENAME')
  const base =
    sources.find(({ suite, component }) => suite === codename && component === 'main') ?? sources[0]!
  return osRelease('ID') === 'ubuntu'
    ? sourceEntry(base.uri, 'jammy', 'main universe')
    : sourceEntry(base.uri, 'bullseye', 'main')
}

function sourceEntry(uri: string, suite: string, components: string): string {
  const distribution = osRelease('ID') === 'ubuntu' ? 'ubuntu' : 'debian'
  const keyring = `/usr/share/keyrings/${distribution}-archive-keyring.gpg`
  // Without the keyring apt falls back on the keys that the machine trusts; it never goes unverified.
  const signed = existsSync(keyring) ? `Signed-By: ${keyring}\n` : ''
  return `Types: deb\nURIs: ${uri}\nSuites: ${suite}\nComponents: ${components}\n${signed}`
}

/** Unpacks aside and renames, so that nobody ever sees half a program and the first of several wins. */
async function unpack(name: ProgramName, apt: Apt, work: string): Promise<void> {
  const { packages } = programs[name]
  const aside = join(work, packages[0]!)
  const final = packageRoot(name)
  await rm(aside, { recursive: true, force: true })
  await mkdir(aside)
  for (const archive of await apt.download(packages)) await run('dpkg', ['-x', archive, aside])
  await chmod(aside, 0o755)
  await mkdir(join(aside, 'wrapped'))
  const libraries = ['usr/lib', 'lib', 'usr/lib/*-linux-gnu*', 'lib/*-linux-gnu*']
    .flatMap((pattern) => globSync(join(aside, pattern)))
    .map((folder) => folder.replace(aside, final))
  for (const program of Object.keys(programs) as ProgramName[]) {
    const real = lookIn(aside, program)
    if (!real || program.endsWith('.so')) continue
    const extra = program === 'git' ? `export GIT_EXEC_PATH=${quoted(join(final, 'usr/lib/git-core'))}\n` : ''
    const text = `#!/bin/sh\nexport LD_LIBRARY_PATH=${quoted(libraries.join(':'))}\n${extra}exec ${quoted(real.replace(aside, final))} "$@"\n`
    await writeFile(join(aside, 'wrapped', program), text, { mode: 0o755 })
  }
  await rename(aside, final).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
  if (!fromCache(name)) throw new Error(`the packages ${packages.join(', ')} came without ${name}`)
}

function fromOverride(name: ProgramName): Found | undefined {
  const path = process.env[overrideOf(name)]
  if (!path) return undefined
  if (!existsSync(path)) throw new Error(`${overrideOf(name)} names ${path}, which does not exist`)
  return { path, root: '/' }
}

function fromMachine(name: ProgramName): Found | undefined {
  const program: Program = programs[name]
  if (program.needs?.some((pattern) => globSync(join('/', pattern)).length === 0)) return undefined
  for (const folder of (process.env.PATH ?? '').split(delimiter))
    if (folder.startsWith('/') && runnable(join(folder, name))) return { path: join(folder, name), root: '/' }
  const path = lookIn('/', name)
  return path ? { path, root: '/' } : undefined
}

function fromCache(name: ProgramName): Found | undefined {
  const root = packageRoot(name)
  const real = lookIn(root, name)
  if (!real) return undefined
  return { path: name.endsWith('.so') ? real : join(root, 'wrapped', name), root }
}

function lookIn(root: string, name: ProgramName): string | undefined {
  const program: Program = programs[name]
  return (program.folders ?? binFolders)
    .flatMap((folder) => globSync(join(root, folder, name)))
    .find((path) => name.endsWith('.so') || runnable(path))
}

function runnable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function cache(): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return join(base, 'evenkeel', 'bed', `${osRelease('ID')}-${osRelease('VERSION_ID')}-${arch()}`)
}

function packageRoot(name: ProgramName): string {
  return join(cache(), programs[name].packages[0]!)
}

function osRelease(key: string): string {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : ''
  return new RegExp(`^${key}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] || 'unknown'
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const overrideOf = (name: ProgramName): string =>
  `EVENKEEL_${name.replace('.so', '').replaceAll('-', '_').toUpperCase()}`

function reason(error: unknown): string {
  const { stderr, message } = error as ExecFileException & Error
  return (stderr ? String(stderr).trim().split('\n').slice(-3).join(' / ') : '') || message
}

function howToGet(name: ProgramName, why: string): Error {
  const install = `sudo apt-get install ${programs[name].packages.join(' ')}`
  return new Error(
    `The test bed needs ${name}. ${why} Install it (${install}), or set ${overrideOf(name)} to its path.`,
  )
}
