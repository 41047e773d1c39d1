// What becomes of requests when an SFTP server stops answering, or answers nonsense.
import { afterEach, expect, test } from 'vitest'
import type { Failure } from '../../src/failure.ts'
import { connect } from '../../src/ssh/connect.ts'
import { SFTP_CHUNK, Sftp } from '../../src/ssh/sftp.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { recordingContext } from './recording-context.ts'
import { credentialsFor, targetOf } from './sshd-login.ts'

const VERSION = String.raw`printf '\0\0\0\5\2\0\0\0\3'`

let sshd: Sshd | undefined
afterEach(() => sshd?.stop())

/** A session with a "server" that is a line of shell. */
async function sessionWith(server: string) {
  sshd = await startSshd({ config: [`ForceCommand ${server}`] })
  const connection = await connect(targetOf(sshd), credentialsFor(sshd), recordingContext())
  return { connection, sftp: await Sftp.open(connection) }
}

test('a session that breaks while no more may be on its way: whoever asks then is told', async () => {
  const { connection, sftp } = await sessionWith(`${VERSION}; exec sleep 1000`)
  const data = Buffer.alloc(SFTP_CHUNK)
  const sent = Array.from({ length: 100 }, (_, at) => sftp.write(data, at * SFTP_CHUNK, data))
  const settled = Promise.allSettled(sent)
  connection.close()
  expect(new Set((await settled).map(({ status }) => status))).toEqual(new Set(['rejected']))
  await sftp.whenRoom()
  await expect(sftp.lstat('/')).rejects.toThrow('the SFTP session ended in the middle of its work')
}, 20_000)

test('an answer that is cut short is an error of the one who asked', async () => {
  const server = String.raw`${VERSION}; head -c 10 >/dev/null; printf '\0\0\0\5\145\0\0\0\0'; exec sleep 1000`
  const { connection, sftp } = await sessionWith(server)
  const error = await sftp.lstat('/').catch((reason: unknown) => reason)
  expect((error as Failure).message).toBe('the server speaks no SFTP that is understood')
  connection.close()
}, 20_000)
