import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { SftpDesk } from '../../src/release/sftp-desk.ts'
import { PlaceRunner } from '../../src/release/sftp-place-steps.ts'
import type { Sftp } from '../../src/ssh/sftp.ts'
import { recordingContext } from '../ssh/recording-context.ts'

test('a session that breaks at the first look into a folder fails the step, and nothing besides', async () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', note)
  try {
    // Each answer comes in a turn of its own, in the order in which they were asked for.
    let asked = 0
    const broken = async () => {
      for (let turns = ++asked; turns > 0; turns--) await turn()
      throw new Error('the session broke')
    }
    const sftp = { realpath: broken, stat: broken } as unknown as Sftp
    const desk = new SftpDesk(sftp, '/site', '/site/.evenkeel', 'mark', recordingContext().log)
    const step = { op: 'put', folder: 'assets', names: ['app.js'] } as const
    await expect(new PlaceRunner(desk).run([step])).rejects.toThrow('the session broke')
    await turn()
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', note)
  }
})
