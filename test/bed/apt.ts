// Debian's and Ubuntu's packages, fetched without root and without a trace on the machine.
import { type ExecFileException, execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** An own world for apt: its sources, lists, archives and configuration; only dpkg's status is the machine's. */
export class Apt {
  readonly folder: string
  /** What apt complained about while it fetched the lists; it goes on with those it could get. */
  trouble = ''
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
    this.trouble = lastLines(await this.get(['-q', 'update']))
    this.ready = true
  }

  async has(packages: string[]): Promise<boolean> {
    const { stdout } = await run('apt-cache', ['policy', ...packages], { env: this.env() })
    const candidates = stdout.match(/^ {2}Candidate: .*/gm) ?? []
    return candidates.length === packages.length && !candidates.some((line) => line.includes('(none)'))
  }

  /** Downloads the packages, and with `dependencies` whatever of those the machine has not installed. */
  async download(packages: string[], dependencies: boolean): Promise<string[]> {
    const archives = join(this.folder, 'archives')
    await rm(archives, { recursive: true })
    await mkdir(join(archives, 'partial'), { recursive: true })
    const options = ['-y', '--reinstall', '--no-install-recommends', '--download-only']
    await this.get(['-qq', ...(dependencies ? [...options, 'install'] : ['download']), ...packages], archives)
    return (await readdir(archives))
      .filter((name) => name.endsWith('.deb'))
      .map((name) => join(archives, name))
  }

  private async get(args: string[], cwd = this.folder): Promise<string> {
    return (await run('apt-get', args, { cwd, env: this.env(), maxBuffer: 1 << 26 })).stderr
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

export interface Source {
  uri: string
  suite: string
  component: string
}

/**
 * The machine's package sources that belong to its release, whatever their format and host. They are read from
 * what apt would fetch, since without fetched lists (as in a container image) apt names no other target.
 */
export async function machineSources(folder: string): Promise<Source[]> {
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
export function olderSources(sources: Source[]): string {
  const codename = osRelease('VERSION_CODENAME')
  const base =
    sources.find(({ suite, component }) => suite === codename && component === 'main') ?? sources[0]!
  return osRelease('ID') === 'ubuntu'
    ? sourceEntry(base.uri, 'jammy', 'main universe')
    : sourceEntry(base.uri, 'bullseye', 'main')
}

export function sourcesText(sources: Source[]): string {
  return sources.map(({ uri, suite, component }) => sourceEntry(uri, suite, component)).join('\n')
}

function sourceEntry(uri: string, suite: string, components: string): string {
  const distribution = osRelease('ID') === 'ubuntu' ? 'ubuntu' : 'debian'
  const keyring = `/usr/share/keyrings/${distribution}-archive-keyring.gpg`
  // Without the keyring apt falls back on the keys that the machine trusts; it never goes unverified.
  const signed = existsSync(keyring) ? `Signed-By: ${keyring}\n` : ''
  return `Types: deb\nURIs: ${uri}\nSuites: ${suite}\nComponents: ${components}\n${signed}`
}

/** What a failed command said last. */
export function reason(error: unknown): string {
  const { stderr, message } = error as ExecFileException & Error
  return lastLines(stderr) || message
}

const lastLines = (text: string | undefined): string => (text ?? '').trim().split('\n').slice(-3).join(' / ')

/** A field of /etc/os-release. */
export function osRelease(key: string): string {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : ''
  return new RegExp(`^${key}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] || 'unknown'
}
