// A real OpenSSH server on loopback, with keys, accounts and home folder of its own.
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { cachedProgramFolders, findProgram } from './packages.ts'
import { freePort } from './ports.ts'
import { onFreePorts, type Running, serverFolder, startProcess } from './process.ts'

export type KeyType = 'ed25519' | 'rsa' | 'ecdsa'

export interface Key {
  type: KeyType
  /** Path of the private key; the public one lies beside it with `.pub`. */
  path: string
  /** The private key's text. */
  privateKey: string
  /** `ssh-ed25519 AAAA...`, without comment. */
  publicKey: string
  /** `SHA256:...` as ssh-keygen prints it. */
  fingerprint: string
}

export interface SshdOptions {
  /** Default 127.0.0.1; 127.0.0.2 and so on are further "hosts". */
  host?: string
  /** Default: a free one. */
  port?: number
  /** Default: ed25519 alone. */
  hostKeyTypes?: KeyType[]
  /** Use these host keys instead of new ones (a host that came back, or a stranger with known keys). */
  hostKeys?: Key[]
  /** Lines put before ours in sshd_config, where the first value wins: `ForceCommand internal-sftp`. */
  config?: string[]
  /** Put before the PATH of the sessions. */
  path?: string[]
  /** Added to the environment of every session. */
  env?: Record<string, string>
  /** What the server is started by: `ip netns exec NAME`, say. */
  by?: string[]
}

export interface Sshd {
  host: string
  port: number
  user: string
  hostKeys: Key[]
  /** known_hosts lines for host and port, one per host key. */
  knownHostsLines: string
  /** A key that may log in. */
  clientKey: Key
  /** HOME of the sessions: an empty folder, removed by stop(). */
  home: string
  /** Lets a further key in; options such as `command="..."` may precede it. */
  addClientKey(publicKey: string, options?: string): void
  /** Takes a key's right to log in. */
  removeClientKey(publicKey: string): void
  /** Of the server, for signals. */
  pid: number
  log(): string
  /** Ends the server, its sessions and everything they started, and removes its folder. */
  stop(): Promise<void>
}

/** Starts sshd for the user who runs the tests; nothing of the machine's own sshd or accounts is touched. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  return await onFreePorts(() => start(options))
}

async function start(options: SshdOptions): Promise<Sshd> {
  const host = options.host ?? '127.0.0.1'
  const port = options.port ?? (await freePort(host))
  const folder = serverFolder('sshd')
  const keys = join(folder, 'keys')
  const home = join(folder, 'home')
  const authorized = join(folder, 'authorized_keys')
  mkdirSync(keys, { mode: 0o700 })
  mkdirSync(home, { mode: 0o755 })
  const clientKey = makeKey(keys, 'client', 'ed25519')
  const hostKeys = (options.hostKeys ?? []).map((key) => {
    const path = join(keys, `host-${key.type}`)
    writeFileSync(path, key.privateKey, { mode: 0o600 })
    return { ...key, path }
  })
  if (hostKeys.length === 0)
    for (const type of options.hostKeyTypes ?? ['ed25519']) hostKeys.push(makeKey(keys, `host-${type}`, type))
  const authorize = (publicKey: string, prefix?: string): void =>
    appendFileSync(authorized, `${prefix ? `${prefix} ` : ''}${publicKey.trim()}\n`, { mode: 0o600 })
  authorize(clientKey.publicKey)

  const sshd = findProgram('sshd')
  const user = userInfo().username
  const sessionPath = [
    ...(options.path ?? []),
    process.env.PATH ?? '/usr/bin:/bin',
    ...cachedProgramFolders(),
  ]
  const environment: Record<string, string> = { PATH: sessionPath.join(':'), ...options.env }
  const config = [
    ...(options.config ?? []),
    `ListenAddress ${host}:${port}`,
    ...hostKeys.map((key) => `HostKey ${key.path}`),
    `AuthorizedKeysFile ${authorized}`,
    `PidFile none`,
    'StrictModes no', // the folder for temporary files is writable by all
    'UsePAM no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PrintMotd no',
    'PrintLastLog no',
    'UseDNS no',
    'MaxStartups 100:30:200',
    'MaxSessions 50',
    'LogLevel VERBOSE',
    `Subsystem sftp ${findProgram('sftp-server').path}`,
    `SetEnv ${Object.entries(environment)
      .map(([key, value]) => `"${key}=${value}"`)
      .join(' ')}`,
    ...partsBesides(sshd.root),
  ]
  const configFile = join(folder, 'sshd_config')
  writeFileSync(configFile, `${config.join('\n')}\n`)
  const asRoot = process.getuid?.() === 0
  if (asRoot) prepareForRoot()

  const running: Running = await startProcess({
    name: 'sshd',
    folder,
    command: [...(options.by ?? []), sshd.path, '-D', '-e', '-f', configFile],
    env: accounts(folder, home, user),
    // It may not be reachable from here: then its own words must do.
    ready: () =>
      options.by
        ? readFileSync(join(folder, '.log'), 'utf8').includes('Server listening')
        : greets(host, port),
  })
  const where = port === 22 ? host : `[${host}]:${port}`
  return {
    host,
    port,
    user,
    hostKeys,
    knownHostsLines: hostKeys.map((key) => `${where} ${key.publicKey}\n`).join(''),
    clientKey,
    home,
    addClientKey: authorize,
    removeClientKey: (publicKey) => {
      const kept = readFileSync(authorized, 'utf8')
        .split('\n')
        .filter((line) => line && !line.includes(publicKey.trim()))
      writeFileSync(authorized, `${kept.join('\n')}\n`)
    },
    pid: running.pid,
    log: running.log,
    stop: running.stop,
  }
}

/** OpenSSH 9.8 and later is split into parts whose compiled-in places are not those of the cache. */
function partsBesides(root: string): string[] {
  if (root === '/') return []
  return [
    ['SshdSessionPath', 'usr/lib/openssh/sshd-session'],
    ['SshdAuthPath', 'usr/lib/openssh/sshd-auth'],
  ].flatMap(([option, part]) => (existsSync(join(root, part!)) ? [`${option} ${join(root, part!)}`] : []))
}

/** The folder which sshd changes its root to before a login; the package's service makes it at boot. */
function prepareForRoot(): void {
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  chmodSync('/run/sshd', 0o755)
}

/**
 * Account files that only this sshd sees: the user with a home folder of the bed and a working shell (also
 * where the real entry is locked or says nologin), and the `sshd` user which the package would have created.
 */
function accounts(folder: string, home: string, user: string): Record<string, string> {
  const uid = process.getuid?.() ?? 0
  const gid = process.getgid?.() ?? 0
  const shell = existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh'
  const files = {
    NSS_WRAPPER_PASSWD: `${user}:*:${uid}:${gid}::${home}:${shell}\nsshd:*:65533:65534::/run/sshd:/usr/sbin/nologin\n`,
    NSS_WRAPPER_GROUP: `${user}:x:${gid}:\ntty:x:5:\n`,
    NSS_WRAPPER_SHADOW: `${user}:*:19000:0:99999:7:::\n`,
  }
  const env: Record<string, string> = { LD_PRELOAD: findProgram('libnss_wrapper.so').path }
  for (const [name, text] of Object.entries(files)) {
    env[name] = join(folder, name.toLowerCase())
    writeFileSync(env[name], text, { mode: 0o644 })
  }
  return env
}

async function greets(host: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port })
    socket.setTimeout(2000, () => socket.destroy())
    socket.once('data', (data) => {
      resolve(data.toString().startsWith('SSH-2.0'))
      socket.destroy()
    })
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
  })
}

/** Makes a key pair in a folder through ssh-keygen; `format: 'PEM'` gives the older form. */
export function makeKey(
  folder: string,
  name: string,
  type: KeyType,
  options: { passphrase?: string; format?: 'RFC4716' | 'PEM' | 'PKCS8'; bits?: number } = {},
): Key {
  const path = join(folder, name)
  const keygen = findProgram('ssh-keygen').path
  const bits = options.bits ?? (type === 'rsa' ? 2048 : undefined)
  execFileSync(
    keygen,
    [
      '-q',
      ...['-t', type, '-f', path, '-C', 'test', '-N', options.passphrase ?? ''],
      ...(bits ? ['-b', String(bits)] : []),
      ...(options.format ? ['-m', options.format] : []),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const publicKey = readFileSync(`${path}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
  const fingerprint = execFileSync(keygen, ['-lf', `${path}.pub`], { encoding: 'utf8' }).split(' ')[1]!
  return { type, path, privateKey: readFileSync(path, 'utf8'), publicKey, fingerprint }
}

/** A key as a user would have one; its files are gone again, only the texts remain. */
export function makeClientKey(
  type: KeyType = 'ed25519',
  options: { passphrase?: string; format?: 'RFC4716' | 'PEM' | 'PKCS8'; bits?: number } = {},
): Omit<Key, 'path'> {
  const folder = serverFolder('key')
  try {
    const { path: _, ...key } = makeKey(folder, 'key', type, options)
    return key
  } finally {
    rmSync(folder, { recursive: true })
  }
}
