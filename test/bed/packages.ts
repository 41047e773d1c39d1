// Finds the programs of the test bed: an override, the machine's own, or Debian's packages in a cache.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, globSync, statSync } from 'node:fs'
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { arch, homedir } from 'node:os'
import { basename, delimiter, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { Apt, machineSources, olderSources, osRelease, reason, type Source, sourcesText } from './apt.ts'

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
  // With Lua, by which the stand-in for nginx-upsync follows Consul without reloads.
  nginx: {
    packages: ['libnginx-mod-http-lua', 'nginx'],
    needs: ['usr/lib/nginx/modules/ngx_http_lua_module.so', 'usr/share/lua/5.1/resty/core.lua'],
  },
  consul: { packages: ['consul'] },
  pdns_server: {
    packages: ['pdns-server', 'pdns-backend-sqlite3'],
    needs: ['usr/lib/*/pdns/libgsqlite3backend.so'],
  },
  git: { packages: ['git'] },
  make: { packages: ['make'] },
  rsync: { packages: ['rsync'] },
  named: { packages: ['bind9'] },
  nsupdate: { packages: ['bind9-dnsutils'] },
  knotd: { packages: ['knot'] },
  knotc: { packages: ['knot'] },
  unbound: { packages: ['unbound'] },
  busybox: { packages: ['busybox'] },
  zstd: { packages: ['zstd'] },
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
  'named',
  'nsupdate',
  'knotd',
  'knotc',
  'unbound',
  'git',
  'make',
  'rsync',
  'busybox',
  'zstd',
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
    let sources: Source[] | undefined
    for (const name of missing) {
      if (fromCache(name)) continue // came with another program of the same packages
      try {
        sources ??= await machineSources(join(work, 'no-lists'))
        await own.prepare(sourcesText(sources))
        const { packages } = programs[name]
        const available = await own.has(packages)
        if (!available) await older.prepare(olderSources(sources))
        if (!available && !(await older.has(packages)))
          throw new Error(`no package source has ${packages.join(', ')}. ${own.trouble}`)
        await unpack(name, available ? own : older, work, available)
      } catch (error) {
        throw howToGet(name, `Fetching it failed: ${reason(error)}`)
      }
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  console.log(`The test bed has its servers (${((Date.now() - began) / 1000).toFixed(1)} s).`)
}

/**
 * Unpacks aside and renames, so that nobody ever sees half a program and the first of several wins. An older
 * release's libraries are left out: they do not fit a newer machine's packages, and Consul needs none.
 */
async function unpack(name: ProgramName, apt: Apt, work: string, libraries: boolean): Promise<void> {
  const { packages } = programs[name]
  const aside = join(work, packages[0]!)
  const final = packageRoot(name)
  await rm(aside, { recursive: true, force: true })
  await mkdir(aside)
  for (const archive of await apt.download(packages, libraries)) await run('dpkg', ['-x', archive, aside])
  await chmod(aside, 0o755)
  await mkdir(join(aside, 'wrapped'))
  const libraryFolders = ['usr/lib', 'lib', 'usr/lib/*-linux-gnu*', 'lib/*-linux-gnu*']
    .flatMap((pattern) => globSync(join(aside, pattern)))
    .map((folder) => folder.replace(aside, final))
  const environment = { LD_LIBRARY_PATH: libraryFolders.join(':'), ...gitEnvironment(aside, final) }
  const exports = Object.entries(environment).map(([key, value]) => `export ${key}=${quoted(value)}\n`)
  const folders = [...binFolders, ...((programs[name] as Program).folders ?? [])]
  for (const real of folders.flatMap((folder) => globSync(join(aside, folder, '*')))) {
    if (real.endsWith('.so') || !runnable(real) || statSync(real).isDirectory()) continue
    const text = `#!/bin/sh\n${exports.join('')}exec ${quoted(real.replace(aside, final))} "$@"\n`
    await writeFile(join(aside, 'wrapped', basename(real)), text, { mode: 0o755 })
  }
  await rename(aside, final).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
  if (!fromCache(name)) throw new Error(`the packages ${packages.join(', ')} came without ${name}`)
}

/** Git's other files are looked for where the package would have put them. */
function gitEnvironment(aside: string, final: string): Record<string, string> {
  if (!existsSync(join(aside, 'usr/lib/git-core'))) return {}
  return {
    GIT_EXEC_PATH: join(final, 'usr/lib/git-core'),
    GIT_TEMPLATE_DIR: join(final, 'usr/share/git-core/templates'),
  }
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

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const overrideOf = (name: ProgramName): string =>
  `EVENKEEL_${name.replace('.so', '').replaceAll('-', '_').toUpperCase()}`

function howToGet(name: ProgramName, why: string): Error {
  const install = `sudo apt-get install ${programs[name].packages.join(' ')}`
  return new Error(
    `The test bed needs ${name}. ${why}\nInstall it (${install}), or set ${overrideOf(name)} to its path.`,
  )
}
