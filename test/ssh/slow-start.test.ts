import { expect, onTestFinished, test } from 'vitest'
import { type Ahead, connect } from '../../src/ssh/connect.ts'
import { until } from '../bed/process.ts'
import { startSshd } from '../bed/sshd.ts'
import { startDelayingProxy } from '../bench/delaying-proxy.ts'
import { recordingContext } from './recording-context.ts'
import { credentialsFor, targetOf } from './sshd-login.ts'

const much: Ahead = { willSendMuch: () => true }
const little: Ahead = { willSendMuch: () => false }

/** A server of which its log tells what it ignored, and logins to it, also over a distance. */
async function scene() {
  const sshd = await startSshd({ config: ['LogLevel DEBUG3'] })
  const proxy = await startDelayingProxy(sshd, 10)
  onTestFinished(async () => {
    proxy.stop()
    await sshd.stop()
  })
  const through = sshd.knownHostsLines.replaceAll(`:${sshd.port} `, `:${proxy.port} `)
  const credentials = credentialsFor(sshd, `${sshd.knownHostsLines}${through}`)
  const login = async (isFar: boolean, ahead: Ahead) => {
    // Only through a jump host is the way's length seen: what listens on this machine is near.
    const far = { target: { host: '127.0.0.1', port: proxy.port, user: sshd.user }, key: credentials.key }
    const own = { ...credentials, jump: isFar ? far : undefined }
    const connection = await connect(targetOf(sshd), own, recordingContext(), ahead)
    onTestFinished(() => connection.close())
    return connection
  }
  const ignored = () => sshd.log().match(/Received SSH2_MSG_IGNORE/g)?.length ?? 0
  return { login, ignored }
}

test('a far connection for much is pushed through its slow start, and works', async () => {
  const { login, ignored } = await scene()
  const connection = await login(true, much)
  expect((await connection.exec('echo works')).stdout).toBe('works\n')
  // Both servers' two answers during the login; then 14, 28, 56 and 112 KB in packets of 32.
  await until('all rounds are in', () => ignored() >= 4 + 1 + 1 + 2 + 4)
  expect((await connection.exec('echo works')).stdout).toBe('works\n')
  expect(ignored()).toBe(4 + 1 + 1 + 2 + 4)
})

test('it ends when there is something to be sent', async () => {
  const { login, ignored } = await scene()
  const connection = await login(true, much)
  connection.slowStart.end()
  expect((await connection.exec('echo works')).stdout).toBe('works\n')
  expect((await connection.exec('echo works')).stdout).toBe('works\n')
  expect(ignored()).toBe(4 + 1 + 1)
})

test.each([
  ['near', false, much, 2],
  ['for little', true, little, 4],
  ['for who knows', true, {}, 4],
] as const)('a connection %s is left alone', async (_what, isFar, ahead, answers) => {
  const { login, ignored } = await scene()
  const connection = await login(isFar, ahead)
  expect((await connection.exec('echo works')).stdout).toBe('works\n')
  expect((await connection.exec('echo works')).stdout).toBe('works\n')
  expect(ignored()).toBe(answers)
})
