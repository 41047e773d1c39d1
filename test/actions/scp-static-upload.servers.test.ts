// Servers that give less than others: one session a connection, a full disk.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type SshdOptions, startSshd } from '../bed/sshd.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { StaticSite, treeOf } from './static-site.ts'

async function siteOn(options: SshdOptions): Promise<StaticSite> {
  const sshd = await startSshd(options)
  const site = new StaticSite(sshd)
  onTestFinished(async () => {
    await sshd.stop()
    site.remove()
  })
  return site
}

const random = (file: string, megabytes: number) =>
  execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', `count=${megabytes}`], { stdio: 'ignore' })

test('MaxSessions 1: one lane and further connections, hooks and health commands among them', async () => {
  const site = await siteOn({ config: ['MaxSessions 1'] })
  random(join(site.source, 'large.bin'), 20)
  const result = await site.upload('r1', {
    'before-activate': 'echo before',
    'after-activate': 'echo after',
    'health-command': 'test -f current/index.html',
  })
  expectSuccess(result)
  expect(result.log).toContain('allows too few sessions on one connection (MaxSessions)')
  expect(result.log).toContain('1 lane)')
  expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
})

test('a disk that becomes full is left as it was, and the site with it', async () => {
  const apart = process.getuid?.() === 0 ? ['unshare', '-m'] : ['unshare', '-rm']
  const folder = new StaticSite(await startSshd())
  onTestFinished(async () => {
    await folder.sshd.stop()
    folder.remove()
  })
  const mounted = `mount -t tmpfs -o size=24m,nr_inodes=300 tmpfs ${folder.target} && exec "$@"`
  const small = await startSshd({ by: [...apart, 'sh', '-c', mounted, 'sh'] })
  onTestFinished(() => small.stop())
  const site = new StaticSite(small)
  onTestFinished(() => site.remove())
  const target = { target: folder.target }
  const seen = `/proc/${small.pid}/root${folder.target}`
  expectSuccess(await site.upload('r1', target))

  random(join(site.source, 'large.bin'), 30)
  expectFailure(await site.upload('r2', target), /not enough space on the server/, /the site is as it was/)
  rmSync(join(site.source, 'large.bin'))

  // The bytes fit, so it begins; the inodes run out on the way.
  site.write(Object.fromEntries(Array.from({ length: 400 }, (_, at) => [`page-${at}.html`, `page ${at}`])))
  expectFailure(await site.upload('r3', target), /there is no space left on the server/)
  expect(readlinkSync(join(seen, 'current'))).toBe('releases/r1')
  expect(readdirSync(join(seen, 'releases/.evenkeel/staging'))).toEqual([])
  site.write({ 'index.html': 'two' })
  expectSuccess(await site.upload('r4', { ...target, exclude: 'page-*' }))
  expect(readFileSync(join(seen, 'current/index.html'), 'utf8')).toBe('two')
})
