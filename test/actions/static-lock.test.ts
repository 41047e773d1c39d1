// Whoever held the lock and has gone, or comes back too late; and the two kinds of lock beside each other.
import { globSync, readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { startGatedSftp } from './sftp-gates.ts'
import { sshInputs } from './ssh-input-cases.ts'
import { type GatedSshd, startGatedSshd } from './static-gates.ts'
import { StaticSite, treeOf } from './static-site.ts'

let shell: GatedSshd
let sftp: Awaited<ReturnType<typeof startGatedSftp>>

beforeAll(async () => {
  ;[shell, sftp] = await Promise.all([startGatedSshd(), startGatedSftp()])
})
afterAll(async () => {
  await Promise.all([shell?.stop(), sftp?.stop()])
})

interface Kind {
  readonly name: string
  sshd(): StaticSite['sshd']
  close(): void
  reached(): Promise<void>
  open(): void
  /** Files whose age tells that the holder lives. */
  readonly beat: string
}

const KINDS: Kind[] = [
  {
    name: 'a shell',
    sshd: () => shell.sshd,
    close: () => shell.close('tar'),
    reached: () => shell.reached('tar'),
    open: () => shell.open('tar'),
    beat: 'releases/.evenkeel/beat',
  },
  {
    name: 'SFTP',
    sshd: () => sftp.sshd,
    close: () => sftp.close('first file'),
    reached: () => sftp.reached('first file'),
    open: () => sftp.open('first file'),
    beat: 'releases/.evenkeel/lease/*/beat',
  },
]

async function newSite(kind: Kind): Promise<StaticSite> {
  const site = new StaticSite(kind.sshd())
  onTestFinished(() => {
    kind.open()
    site.remove()
  })
  expectSuccess(await site.upload('old'))
  site.write({ 'index.html': 'two', 'more.html': 'more' })
  return site
}

/** As if the holder had not been heard of for five minutes. */
function age(site: StaticSite, kind: Kind): void {
  const beats = globSync(join(site.target, kind.beat))
  expect(beats).toHaveLength(1)
  const past = Date.now() / 1000 - 300
  for (const beat of beats) utimesSync(beat, past, past)
}

describe.each(KINDS.map((kind) => [kind.name, kind] as const))('%s', (_name, kind) => {
  test('a stopped runner loses the lock after a while, and changes nothing when it comes back', async () => {
    const site = await newSite(kind)
    kind.close()
    const stopped = site.startUpload('stopped')
    await kind.reached()
    const pid = stopped.pid
    process.kill(pid, 'SIGSTOP')
    onTestFinished(() => {
      try {
        process.kill(pid, 'SIGCONT')
      } catch {
        // It has ended.
      }
    })
    expectFailure(await site.upload('next'), /another deploy of this site is at work/)
    age(site, kind)
    expectSuccess(await site.upload('next', { 'lock-wait': '20s' }))
    expect(site.current).toBe('releases/next')
    // Its settle step may look at it, with the lock.
    const tree = () => treeOf(site.target).filter((line) => !line.includes('/holder '))
    const before = tree()
    kind.open()
    process.kill(pid, 'SIGCONT')
    const { conclusion } = await stopped.result
    expect(conclusion).toBe('failure')
    expect(tree()).toEqual(before)
  })

  test('a lost runner: the next one names it, and takes over when its time is over', async () => {
    const site = await newSite(kind)
    kind.close()
    const lost = site.startUpload('lost')
    await kind.reached()
    await lost.lostRunner()
    if (kind.name === 'SFTP') {
      const held = await site.upload('lost')
      expectFailure(held, /the lock is held by https:\/\/github.com\/octo-org\/site\/actions\/runs\//)
      age(site, kind)
    }
    kind.open()
    const next = await site.upload('lost', { 'lock-wait': '20s' })
    expectSuccess(next)
    expect(site.current).toBe('releases/lost')
    expect(readdirSync(join(site.target, 'releases/.evenkeel/staging'))).toEqual([])
  })
})

test.each(['a shell', 'SFTP'])('%s has the lock: a run of the other kind is kept out', async (name) => {
  const holder = KINDS.find((kind) => kind.name === name) as Kind
  const other = KINDS.find((kind) => kind.name !== name) as Kind
  const site = await newSite(holder)
  holder.close()
  const first = site.startUpload('first')
  await holder.reached()
  const login = sshInputs(other.sshd())
  expectFailure(
    await site.upload('second', login),
    /another deploy of this site is at work/,
    /held by https:\/\/github.com/,
  )
  const waiting = site.startUpload('second', { ...login, 'lock-wait': '30s' })
  await waiting.waitForLog(/waiting for the lock/)
  holder.open()
  expectSuccess(await first.result)
  expectSuccess(await waiting.result)
  expect(site.current).toBe('releases/second')
})
