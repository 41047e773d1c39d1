import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, connect as dialTcp } from 'node:net'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { type Credentials, connect } from '../../src/ssh/connect.ts'
import type { Connection } from '../../src/ssh/connection.ts'
import { readPrivateKey } from '../../src/ssh/private-key.ts'
import type { Target } from '../../src/ssh/target.ts'
import { tunnelDispatcher } from '../../src/ssh/tunnel.ts'
import { freePort } from '../bed/ports.ts'
import { until } from '../bed/process.ts'
import { makeClientKey, type Sshd, startSshd } from '../bed/sshd.ts'
import { recordingContext } from './recording-context.ts'
import { credentialsFor } from './sshd-login.ts'

let sshd: Sshd
let target: Target

beforeAll(async () => {
  sshd = await startSshd({ hostKeyTypes: ['ed25519', 'rsa', 'ecdsa'] })
  target = { host: sshd.host, port: sshd.port, user: sshd.user }
})
afterAll(() => sshd?.stop())

function credentials(overrides: Partial<Credentials> & { knownHosts?: string } = {}): Credentials {
  return { ...credentialsFor(sshd, overrides.knownHosts), ...overrides }
}

async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(Failure)
  return (error as Failure).describe()
}

async function connected<T>(work: (connection: Connection) => Promise<T>, own = credentials()): Promise<T> {
  const connection = await connect(target, own, recordingContext())
  try {
    return await work(connection)
  } finally {
    connection.close()
  }
}

describe('running things', () => {
  test('gives both streams and the exit code', async () => {
    const result = await connected((ssh) => ssh.exec('echo out; echo err >&2; exit 3'))
    expect(result).toEqual({ code: 3, signal: undefined, stdout: 'out\n', stderr: 'err\n' })
  })

  test('tells a signal from an exit code', async () => {
    const result = await connected((ssh) => ssh.exec('kill -KILL $$'))
    expect(result).toMatchObject({ code: undefined, signal: 'KILL' })
  })

  test('streams whole lines, also the last one without a newline', async () => {
    const lines: string[] = []
    await connected((ssh) =>
      ssh.exec("printf 'a\\nb'; sleep 0.05; printf 'c\\r\\n\\303'; sleep 0.05; printf '\\251'", {
        onLine: (line, stream) => lines.push(`${stream}:${line}`),
      }),
    )
    expect(lines).toEqual(['stdout:a', 'stdout:bc\r', 'stdout:é'])
  })

  test('keeps only the end of a long output', async () => {
    const result = await connected((ssh) => ssh.exec('seq 1 200000', { keepBytes: 1000 }))
    expect(result.stdout.length).toBe(1000)
    expect(result.stdout.endsWith('200000\n')).toBe(true)
  })

  test('a script stops at the first failing line and gets its environment and directory', async () => {
    const result = await connected((ssh) =>
      ssh.script('pwd\nprintf "%s\\n" "$VALUE"\nfalse\necho not reached', {
        cwd: '/usr/bin',
        env: { VALUE: 'it\'s $(id) "x"\nsecond line' },
      }),
    )
    expect(result.code).toBe(1)
    expect(result.stdout).toBe('/usr/bin\nit\'s $(id) "x"\nsecond line\n')
  })

  test('a script has no input to wait for', async () => {
    const result = await connected((ssh) => ssh.script('cat; echo done'))
    expect(result.stdout).toBe('done\n')
  })

  test('a script that cannot enter its directory runs nothing', async () => {
    const result = await connected((ssh) => ssh.script('echo ran', { cwd: '/no/such' }))
    expect(result.stdout).toBe('')
    expect(result.code).not.toBe(0)
  })

  test('a directory that begins with a dash or is hostile is entered, not obeyed', async () => {
    const cwd = '-P $(touch pwned) \'"'
    const result = await connected((ssh) =>
      ssh.script('pwd; ls ..', { cwd: `./${cwd}` }).catch(() => undefined),
    )
    expect(result?.code).not.toBe(0)
    const made = await connected(async (ssh) => {
      await ssh.script(`mkdir -p -- ./'${cwd.replaceAll("'", "'\\''")}'`)
      return ssh.script('ls -a; ls -a ..', { cwd: `./${cwd}` })
    })
    expect(made.code).toBe(0)
    expect(made.stdout).not.toContain('pwned\n')
  })

  test('neither a script nor its environment shows up in the process list', async () => {
    const secret = 'S3CR3T-in-no-process-list'
    const listed = await connected((ssh) =>
      ssh.script(
        `: ${secret}\nfor one in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <"$one" || :; echo; done 2>/dev/null`,
        {
          env: { TOKEN: secret },
        },
      ),
    )
    expect(listed.stdout).toContain('sshd')
    expect(listed.stdout).not.toContain(secret)
  })

  test('several commands share one connection', async () => {
    const results = await connected((ssh) =>
      Promise.all(Array.from({ length: 8 }, (_, index) => ssh.exec(`echo ${index}`))),
    )
    expect(results.map((result) => result.stdout.trim())).toEqual(['0', '1', '2', '3', '4', '5', '6', '7'])
  })

  test('an aborted command rejects as cancelled and the connection lives on', async () => {
    await connected(async (ssh) => {
      const stop = new AbortController()
      const running = ssh.exec('echo started; sleep 60', {
        signal: stop.signal,
        onLine: () => stop.abort(),
      })
      await expect(running).rejects.toMatchObject({ message: 'cancelled' })
      expect((await ssh.exec('echo alive')).stdout).toBe('alive\n')
    })
  })

  test('a connection that breaks is a failure, not an exit status', async () => {
    const text = await connected((ssh) => failure(ssh.exec('kill -KILL $PPID; sleep 60')))
    expect(text).toMatch(/the SSH connection broke/)
    expect(text).toMatch(/State now/)
  })

  test('a connection that is about to end begins nothing more, and says so', async () => {
    await connected(async (ssh) => {
      ssh.close()
      expect(await failure(ssh.exec('true'))).toMatch(/the SSH connection broke/)
      expect(ssh.isOpen).toBe(false)
    })
  })
})

describe('host keys', () => {
  test('an unknown key is refused before the login, with the line to add', async () => {
    const text = await failure(connect(target, credentials({ knownHosts: '' }), recordingContext()))
    expect(text).toMatch(/the host key is not known/)
    expect(sshd.knownHostsLines).toContain(/^\[127.*$/m.exec(text)?.[0])
    expect(text).toContain('ssh-keygen -lf')
  })

  test('a changed key is refused with both fingerprints and no line to paste', async () => {
    const stranger = makeClientKey('ed25519')
    const [ed25519] = sshd.hostKeys
    const line = `[${sshd.host}]:${sshd.port} ${stranger.publicKey}`
    const text = await failure(connect(target, credentials({ knownHosts: line }), recordingContext()))
    expect(text).toMatch(/HOST KEY HAS CHANGED/)
    expect(text).toContain(stranger.fingerprint)
    expect(text).toContain(ed25519?.fingerprint)
    expect(text).not.toContain(ed25519?.publicKey)
  })

  test.each(['ed25519', 'rsa', 'ecdsa'] as const)('the %s key alone is enough', async (type) => {
    const line = sshd.knownHostsLines.split('\n').find((one) => one.includes(type)) ?? ''
    const result = await connected((ssh) => ssh.exec('echo in'), credentials({ knownHosts: line }))
    expect(result.stdout).toBe('in\n')
  })

  test.each([
    'ed25519',
    'rsa',
    'ecdsa',
  ] as const)('the fingerprint of the %s key alone is enough', async (type) => {
    const key = sshd.hostKeys.find((one) => one.type === type)
    const fingerprints = [{ host: undefined, fingerprint: key?.fingerprint ?? '' }]
    const own = credentials({ hostKeys: { knownHosts: [], fingerprints } })
    expect((await connected((ssh) => ssh.exec('echo in'), own)).stdout).toBe('in\n')
  })

  test('a wrong fingerprint is a mismatch, after every type was asked for', async () => {
    const fingerprints = [{ host: undefined, fingerprint: makeClientKey('ed25519').fingerprint }]
    const own = credentials({ hostKeys: { knownHosts: [], fingerprints } })
    const text = await failure(connect(target, own, recordingContext()))
    expect(text).toMatch(/HOST KEY HAS CHANGED/)
  })

  test('a known type that the server does not have is explained', async () => {
    const plain = await startSshd({ hostKeyTypes: ['ed25519'] })
    try {
      const line = `[${plain.host}]:${plain.port} ${makeClientKey('rsa').publicKey}`
      const own = { ...credentials({ knownHosts: line }) }
      const text = await failure(connect({ ...target, port: plain.port }, own, recordingContext()))
      expect(text).toMatch(/no host key of a type that is known/)
    } finally {
      await plain.stop()
    }
  })
})

describe('private keys', () => {
  test.each([
    ['ed25519', {}],
    ['ed25519', { passphrase: 'open sesame' }],
    ['rsa', {}],
    ['rsa', { passphrase: 'open sesame' }],
    ['rsa', { format: 'PEM' }],
    ['rsa', { format: 'PEM', passphrase: 'open sesame' }],
    ['rsa', { format: 'PKCS8' }],
    ['rsa', { format: 'PKCS8', passphrase: 'open sesame' }],
    ['ecdsa', {}],
    ['ecdsa', { format: 'PEM' }],
    ['ecdsa', { format: 'PKCS8' }],
    ['ecdsa', { passphrase: 'open sesame' }],
  ] as const)('%s %j logs in', async (type, options) => {
    const made = makeClientKey(type, options)
    sshd.addClientKey(made.publicKey)
    const key = readPrivateKey(made.privateKey, 'passphrase' in options ? options.passphrase : '')
    const result = await connected((ssh) => ssh.exec('echo in'), credentials({ key }))
    expect(result.stdout).toBe('in\n')
  })

  test.each([
    ['CRLF', (text: string) => text.replaceAll('\n', '\r\n')],
    ['no final newline', (text: string) => text.trim()],
    ['literal \\n', (text: string) => text.replaceAll('\n', '\\n')],
    ['newlines turned into spaces', (text: string) => text.trim().replaceAll('\n', ' ')],
    ['blank lines around', (text: string) => `\n\n  ${text}\n\n`],
  ])('a key with %s is repaired', (_name, damage) => {
    const made = makeClientKey('ed25519')
    expect(readPrivateKey(damage(made.privateKey), '').getPublicSSH().toString('base64')).toBe(
      made.publicKey.split(' ')[1],
    )
  })

  test.each([
    [
      'a passphrase is missing',
      () => [makeClientKey('ed25519', { passphrase: 'x1234' }).privateKey, ''],
      /needs a passphrase/,
    ],
    [
      'PEM: a passphrase is missing',
      () => [makeClientKey('rsa', { passphrase: 'x1234', format: 'PEM' }).privateKey, ''],
      /needs a passphrase/,
    ],
    [
      'PKCS#8: a passphrase is missing',
      () => [makeClientKey('rsa', { passphrase: 'x1234', format: 'PKCS8' }).privateKey, ''],
      /needs a passphrase/,
    ],
    [
      'the passphrase is wrong',
      () => [makeClientKey('ed25519', { passphrase: 'x1234' }).privateKey, 'y'],
      /does not fit/,
    ],
    [
      'PEM: the passphrase is wrong',
      () => [makeClientKey('rsa', { passphrase: 'x1234', format: 'PEM' }).privateKey, 'y'],
      /does not fit|cannot be read/,
    ],
    ['it is the public half', () => [makeClientKey('ed25519').publicKey, ''], /public key/],
    ['it is something else', () => ['hunter2', ''], /not a private key/],
    ['it is cut', () => [makeClientKey('ed25519').privateKey.slice(0, 150), ''], /cannot be read/],
  ] as const)('%s: said clearly, without a part of the key', (_name, make, expected) => {
    const [text, passphrase] = make()
    let message = ''
    try {
      readPrivateKey(text ?? '', passphrase ?? '')
    } catch (error) {
      message = (error as Failure).describe()
    }
    expect(message).toMatch(expected)
    for (const line of (text ?? '').split('\n').filter((one) => one.length > 16 && !one.startsWith('-----')))
      expect(message).not.toContain(line)
  })

  test('a key that may not log in says where its public half belongs', async () => {
    const key = readPrivateKey(makeClientKey('ed25519').privateKey, '')
    const text = await failure(connect(target, credentials({ key }), recordingContext()))
    expect(text).toMatch(/refused the login/)
    expect(text).toMatch(/authorized_keys/)
  })
})

describe('getting there', () => {
  test('nobody listens: tried again, then said with the address', async () => {
    const context = recordingContext()
    const port = await freePort()
    const text = await failure(connect({ ...target, port }, credentials(), context))
    expect(text).toMatch(/cannot connect \(3 attempts\)/)
    expect(text).toMatch(/ECONNREFUSED/)
    expect(text).toContain(`:${port}`)
  })

  test('a server that comes up between two attempts is reached', async () => {
    const port = await freePort()
    const context = recordingContext()
    const connecting = connect({ ...target, port }, credentials({ knownHosts: '' }), context)
    const refused = failure(connecting)
    await until('the first attempt was refused', () => context.lines.length > 0)
    const late = await startSshd({ port })
    try {
      // Reached: it is the host key that stops it now.
      expect(await refused).toMatch(/the host key is not known/)
    } finally {
      await late.stop()
    }
  })

  test('a busy server that drops the first connections is reached', async () => {
    let dropped = 0
    const busy = createTcpServer((client) => {
      if (++dropped <= 2) return void client.destroy()
      const server = dialTcp({ host: sshd.host, port: sshd.port })
      client.pipe(server).pipe(client)
      for (const socket of [client, server]) socket.on('error', () => {})
    })
    await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = busy.address() as AddressInfo
      const knownHosts = sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${port} `)
      const connection = await connect({ ...target, port }, credentials({ knownHosts }), recordingContext())
      expect((await connection.exec('echo in')).stdout).toBe('in\n')
      connection.close()
      expect(dropped).toBe(3)
    } finally {
      busy.close()
    }
  })

  test('a server that says nothing is given up after the timeout', async () => {
    const silent = createTcpServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = silent.address() as AddressInfo
      const own = credentials({ connectTimeoutMs: 200 })
      expect(await failure(connect({ ...target, port }, own, recordingContext()))).toMatch(
        /no SSH handshake within/,
      )
    } finally {
      silent.close()
    }
  })

  test('a name that does not exist is not tried again', async () => {
    const text = await failure(
      connect({ ...target, host: 'no-such-host.invalid' }, credentials(), recordingContext()),
    )
    expect(text).toMatch(/1 attempt\)|does not resolve|cannot connect/)
  })

  test('a cancel ends a handshake that hangs', async () => {
    const context = recordingContext()
    const silent = createTcpServer(() => context.abort())
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = silent.address() as AddressInfo
      await expect(connect({ ...target, port }, credentials(), context)).rejects.toMatchObject({
        message: 'cancelled',
      })
    } finally {
      silent.close()
    }
  })

  test('goes through a jump host whose key is verified like any other', async () => {
    const jumpKey = makeClientKey('ecdsa')
    const jump = await startSshd()
    try {
      jump.addClientKey(jumpKey.publicKey)
      const through = {
        target: { host: jump.host, port: jump.port, user: jump.user },
        key: readPrivateKey(jumpKey.privateKey, ''),
      }
      const both = credentials({ jump: through, knownHosts: sshd.knownHostsLines + jump.knownHostsLines })
      expect((await connected((ssh) => ssh.exec('echo through'), both)).stdout).toBe('through\n')
      expect(jump.log()).toMatch(/Accepted publickey/)
      const onlyInner = credentials({ jump: through })
      const text = await failure(connect(target, onlyInner, recordingContext()))
      expect(text).toMatch(new RegExp(`127.0.0.1:${jump.port}: the host key is not known`))
      const onlyOuter = credentials({ jump: through, knownHosts: jump.knownHostsLines })
      const inner = await failure(connect(target, onlyOuter, recordingContext()))
      expect(inner).toMatch(new RegExp(`127.0.0.1:${sshd.port}: the host key is not known`))
    } finally {
      await jump.stop()
    }
  })
})

describe('tunnels', () => {
  let web: Server
  beforeAll(async () => {
    web = createServer((incoming, response) =>
      response.end(`you asked ${incoming.headers.host}${incoming.url}`),
    )
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => web?.close())

  test('undici reaches HTTP behind SSH, several times over one connection', async () => {
    const { port } = web.address() as AddressInfo
    await connected(async (ssh) => {
      const dispatcher = tunnelDispatcher(ssh)
      for (const path of ['/a', '/b']) {
        const response = await request(`http://localhost:${port}${path}`, { dispatcher })
        expect(await response.body.text()).toBe(`you asked localhost:${port}${path}`)
      }
      await dispatcher.destroy()
    })
  })

  test('a connection that ends with its answer is over when it is to be', async () => {
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nthe last'
    const last = createTcpServer((socket) =>
      socket.on('error', () => {}).once('data', () => socket.end(answer)),
    )
    await new Promise<void>((resolve) => last.listen(0, '127.0.0.1', resolve))
    const { port } = last.address() as AddressInfo
    await connected(async (ssh) => {
      // Which of the two ends comes first is by chance.
      for (let times = 0; times < 300; times++) {
        const dispatcher = tunnelDispatcher(ssh)
        const response = await request(`http://localhost:${port}/`, { dispatcher })
        let text = ''
        for await (const chunk of response.body) text += chunk
        expect(text).toBe('the last')
        await dispatcher.destroy()
      }
    }).finally(() => last.close())
  }, 30_000)

  test('a port on which nobody listens there is an error that names it', async () => {
    const port = await freePort()
    await connected(async (ssh) => {
      const dispatcher = tunnelDispatcher(ssh)
      await expect(request(`http://127.0.0.1:${port}/`, { dispatcher })).rejects.toThrow(`127.0.0.1:${port}`)
      await dispatcher.destroy()
    })
  })
})
