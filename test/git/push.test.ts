import { once } from 'node:events'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWithPack } from '../../src/git/push.ts'
import { connect } from '../../src/ssh/connect.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { recordingContext } from '../ssh/recording-context.ts'
import { credentialsFor, targetOf } from '../ssh/sshd-login.ts'

let sshd: Sshd
beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())

test('commits that are on their way when the connection breaks are given up', async () => {
  const connection = await connect(targetOf(sshd), credentialsFor(sshd), recordingContext())
  const piece = Buffer.alloc(256 * 1024)
  const stream = Readable.from(Array.from({ length: 200 }, () => piece))
  const pack = { stream, ended: Promise.resolve() }
  const { channel, sent } = await startWithPack(connection, 'exec sleep 1000', pack, recordingContext())
  channel.resume()
  await until('the way to the server is full', () => channel.writableNeedDrain)
  const closed = once(channel, 'close')
  connection.close()
  await closed
  await sent
  expect(stream.destroyed).toBe(true)
}, 20_000)
