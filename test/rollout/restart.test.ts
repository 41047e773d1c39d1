import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { awaitRestart, claimNode, RestartFailed, runRestart, unitName } from '../../src/rollout/restart.ts'
import { Reconnecting } from '../../src/ssh/reconnecting.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { recordingContext } from '../ssh/recording-context.ts'
import { credentialsFor } from '../ssh/sshd-login.ts'

let sshd: Sshd
let server: Reconnecting

beforeAll(async () => {
  sshd = await startSshd()
  const credentials = credentialsFor(sshd)
  server = await Reconnecting.open(
    { host: sshd.host, port: sshd.port, user: sshd.user },
    credentials,
    recordingContext(),
  )
})
afterAll(async () => {
  server?.close()
  await sshd?.stop()
})

const node = (fence: number, address = '10.0.0.1:80') => ({ upstream: 'upstreams/app', address, fence })
const restart = (fence: number, command: string) => ({
  ...{ unit: unitName('restart', 'v2', fence), command, fence, release: 'v2' },
  ...{ address: '10.0.0.1:80', ip: '10.0.0.1', port: 80 },
})

test('a restart leaves its log in a folder that only the user can enter, and gives its last lines', async () => {
  const folder = await claimNode(server, node(5), recordingContext())
  expect(folder.path).toBe(join(sshd.home, '.local/state/evenkeel/restarts/upstreams%2Fapp@10.0.0.1:80'))
  expect(statSync(folder.path).mode & 0o777).toBe(0o700)
  expect(folder.busy).toBe(false)
  const lines = await runRestart(
    server,
    folder,
    restart(5, 'pwd\necho "$EVENKEEL_RELEASE $EVENKEEL_PORT"'),
    recordingContext(),
  )
  expect(lines).toEqual([sshd.home, 'v2 80'])
  expect(readFileSync(join(folder.path, 'units/000000000005-restart-v2/log'), 'utf8')).toContain('v2 80')
})

test('a restart under an earlier lease is refused by the node, also when its way was free before', async () => {
  const early = await claimNode(server, node(7), recordingContext())
  await claimNode(server, node(9), recordingContext())
  const marker = join(sshd.home, 'restarted')
  await expect(runRestart(server, early, restart(7, `touch ${marker}`), recordingContext())).rejects.toThrow(
    'a later run has taken over',
  )
  await expect(claimNode(server, node(8), recordingContext())).rejects.toThrow(
    'a later lease has been at work',
  )
  expect(readdirSync(sshd.home)).not.toContain('restarted')
  // Another node on the same server has numbers of its own.
  await claimNode(server, node(1, '10.0.0.1:81'), recordingContext())
})

test('whoever comes later waits for a restart that runs, and learns how it ended', async () => {
  const folder = await claimNode(server, node(20), recordingContext())
  const gone = new AbortController()
  const started = join(sshd.home, 'started')
  const go = join(sshd.home, 'go')
  const broken = runRestart(
    server,
    folder,
    restart(20, `touch ${started}\nuntil [ -f ${go} ]; do sleep 0.05; done\necho bad\nexit 3`),
    { ...recordingContext(), signal: gone.signal },
  )
  broken.catch(() => {})
  await until('it runs', () => readdirSync(sshd.home).includes('started'))
  gone.abort()
  await expect(broken).rejects.toThrow()
  const context = recordingContext()
  const waiting = awaitRestart(server, node(21), unitName('restart', 'v2', 20), context)
  await until('it waits', () => context.lines.some((line) => line.includes('waiting for the restart')))
  await server.connection.exec(`touch ${go}`)
  expect(await waiting).toEqual({ outcome: 'failed', seen: 'exit code 3, last lines: bad' })
  expect(
    await awaitRestart(server, node(21), unitName('restart', 'v2', 99), recordingContext()),
  ).toMatchObject({
    outcome: 'absent',
  })
})

test('a command that fails says so with its last lines', async () => {
  const folder = await claimNode(server, node(30), recordingContext())
  const failing = runRestart(server, folder, restart(30, 'echo why\nfalse'), recordingContext())
  await expect(failing).rejects.toThrow(RestartFailed)
  await expect(failing).rejects.toMatchObject({ details: { seen: 'exit code 1, last lines: why' } })
})
