// What counts as changed is what a file holds.
import { readFileSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { StaticSite } from './static-site.ts'

const servers: Record<string, Sshd> = {}

beforeAll(async () => {
  servers['a shell'] = await startSshd()
  servers['SFTP alone'] = await startSshd({ config: ['ForceCommand internal-sftp'] })
})
afterAll(() => Promise.all(Object.values(servers).map((sshd) => sshd.stop())))

describe.each(['a shell', 'SFTP alone'])('through %s', (way) => {
  test.each([
    ['atomic', 'manifest'],
    ['atomic', 'full'],
    ['in-place', 'manifest'],
    ['in-place', 'full'],
  ])('%s, verify: %s: the same size and time, another content', async (mode, verify) => {
    const site = new StaticSite(servers[way] as Sshd, {
      'index.html': 'one',
      'a/app.js': 'app',
      'kept.js': 'k',
    })
    onTestFinished(() => site.remove())
    const inputs = { mode, verify }
    const there = (path: string) => join(site.target, mode === 'atomic' ? 'current' : '.', path)
    expectSuccess(await site.upload('r1', inputs))
    const changed = { 'index.html': 'two', 'a/app.js': 'apq' }
    site.write(changed)
    for (const path of Object.keys(changed)) {
      const { atime, mtime } = statSync(there(path))
      utimesSync(join(site.source, path), atime, mtime)
    }
    // The other way round: another time is no change.
    utimesSync(join(site.source, 'kept.js'), 1, 1)
    const result = await site.upload('r2', inputs)
    expectSuccess(result)
    expect(result.outputs).toMatchObject({ 'files-sent': '2', changed: 'true' })
    const report = JSON.parse(result.outputs['report'] ?? '')
    expect(report.hosts[0]).toMatchObject({ added: 0, changed: 2, removed: 0, unchanged: 1 })
    for (const [path, content] of Object.entries(changed)) {
      expect(readFileSync(there(path), 'utf8')).toBe(content)
    }
  })
})
