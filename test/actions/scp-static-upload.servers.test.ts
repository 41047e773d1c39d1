// Servers that give less than others: one session a connection, no hard links.
import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { siteOn, withMount } from './static-servers.ts'
import { treeOf } from './static-site.ts'

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

test.each(['atomic', 'in-place'])('%s, without hard links: what is there is copied', async (mode) => {
  const plain = await siteOn({})
  plain.write({ 'assets/app.js': 'app', 'assets/deep/a.css': 'a' })
  const inputs = { target: plain.target, mode }
  expectSuccess(await plain.upload('r1', inputs))
  const served = mode === 'atomic' ? 'current' : '.'
  // The kernel links nothing from one mount to another, were they of one file system.
  const apart = join(plain.target, mode === 'atomic' ? 'releases/r1' : 'assets')
  const site = await siteOn({ by: withMount(`mount --bind ${apart} ${apart}`) })
  const tree = () =>
    treeOf(join(plain.target, served, '/'), '/.evenkeel').filter((line) => !/^\/ /.test(line))
  site.write({ 'index.html': 'two', 'assets/app.js': 'other', 'assets/deep/a.css': 'a' })
  const before = tree()
  expectFailure(await site.upload('r2', { ...inputs, 'after-activate': 'exit 3' }), /serves release r1/)
  expect(tree()).toEqual(before)
  const result = await site.upload('r3', inputs)
  expectSuccess(result)
  expect(result.outputs['files-sent']).toBe('2')
  expect(tree()).toEqual(site.toBePlaced)
  if (mode === 'in-place') return
  expect(result.log).toMatch(
    /hard links are not possible there \(.*cross-device.*\): unchanged files were copied/,
  )
  const inodeIn = (release: string) =>
    statSync(join(plain.target, 'releases', release, 'assets/deep/a.css')).ino
  expect(inodeIn('r3')).not.toBe(inodeIn('r1'))
})
