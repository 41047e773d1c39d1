import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { healthInputCases } from './health-input-cases.ts'
import { sshInputCases } from './ssh-input-cases.ts'
import { type Files, StaticSite, treeOf } from './static-site.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())

function newSite(files?: Files): StaticSite {
  const site = new StaticSite(sshd, files)
  onTestFinished(() => site.remove())
  return site
}

const upload = (overrides: Record<string, string>) => newSite().upload('r1', overrides)
const modeOf = (path: string) => (lstatSync(path).mode & 0o777).toString(8)

describeInputs('scp-static-upload', {
  ...sshInputCases(() => sshd, upload),
  ...healthInputCases(upload),
  source: async () => {
    const other = newSite({ 'other.html': 'other' })
    const site = newSite()
    expectSuccess(await site.upload('r1', { source: other.source }))
    expect(site.served('other.html')).toBe('other')
  },
  target: async () => {
    const site = newSite()
    const target = join(site.target, 'below', 'it')
    expectSuccess(await site.upload('r1', { target: `${target}/` }))
    expect(readFileSync(join(target, 'current/index.html'), 'utf8')).toBe('one')
  },
  release: async () => {
    const site = newSite()
    const result = await site.upload('v1.2.3')
    expect(result.outputs['release']).toBe('v1.2.3')
    expect(site.current).toBe('releases/v1.2.3')
    const unnamed = await site.upload('')
    expect(unnamed.outputs['release']).toBe('0123456-1234567890')
    expect(site.current).toBe('releases/0123456-1234567890')
  },
  mode: async () => {
    const site = newSite()
    expectSuccess(await site.upload('r1', { mode: 'in-place' }))
    expect(readFileSync(join(site.target, 'index.html'), 'utf8')).toBe('one')
    expect(site.current).toBe(undefined)
  },
  delete: async () => {
    const site = newSite({ 'index.html': 'one', 'gone.html': 'gone' })
    writeFileSync(join(site.target, 'foreign.html'), 'foreign')
    const there = () => readdirSync(site.target).sort()
    const inPlace = { mode: 'in-place' }
    expectSuccess(await site.upload('r1', inPlace))
    rmSync(join(site.source, 'gone.html'))
    expectSuccess(await site.upload('r2', inPlace))
    expect(there()).toEqual(['.evenkeel', 'foreign.html', 'gone.html', 'index.html'])
    expectSuccess(await site.upload('r3', { ...inPlace, delete: 'true' }))
    expect(there()).toEqual(['.evenkeel', 'foreign.html', 'index.html'])
    expectSuccess(await site.upload('r4', { ...inPlace, delete: 'all', exclude: 'foreign.*' }))
    expect(there()).toEqual(['.evenkeel', 'foreign.html', 'index.html'])
    expectSuccess(await site.upload('r5', { ...inPlace, delete: 'all' }))
    expect(there()).toEqual(['.evenkeel', 'index.html'])
  },
  activate: async () => {
    const site = newSite()
    expectSuccess(await site.upload('r1'))
    site.write({ 'index.html': 'two' })
    const result = await site.upload('r2', { activate: 'false' })
    expectSuccess(result)
    expect(result.outputs['changed']).toBe('true')
    expect(site.current).toBe('releases/r1')
    expect(site.releases).toEqual(['r1', 'r2'])
    const later = await site.upload('r2')
    expect(later.outputs).toMatchObject({ changed: 'true', 'files-sent': '0' })
    expect(site.served('index.html')).toBe('two')
  },
  exclude: async () => {
    const site = newSite({
      'index.html': 'one',
      'a/b/app.js.map': 'map',
      'app.js.map': 'map',
      'node_modules/x/y.js': 'y',
      'docs/draft/a.html': 'draft',
      'other/docs/draft/a.html': 'stays',
      '.env': 'secret',
    })
    expectSuccess(await site.upload('r1', { exclude: '*.map\nnode_modules/\ndocs/draft/**\n.env' }))
    const served = treeOf(join(site.target, 'current/')).filter((line) => !line.includes('/ '))
    expect(served.map((line) => line.split(' ')[0])).toEqual(['/index.html', '/other/docs/draft/a.html'])
  },
  'keep-releases': async () => {
    const site = newSite()
    for (const release of ['r1', 'r2', 'r3', 'r4']) {
      site.write({ 'index.html': release })
      expectSuccess(await site.upload(release, { 'keep-releases': '1' }))
    }
    // The one served and the one before it always stay.
    expect(site.releases).toEqual(['r3', 'r4'])
  },
  'keep-assets': async () => {
    const site = newSite({ 'index.html': 'app.1.js', 'assets/app.1.js': '1', 'assets/page.html': 'x' })
    expectSuccess(await site.upload('r1'))
    rmSync(join(site.source, 'assets'), { recursive: true })
    site.write({ 'index.html': 'app.2.js', 'assets/app.2.js': '2' })
    const keep = { 'keep-assets': 'assets/*.js' }
    expectSuccess(await site.upload('r2', keep))
    expect(site.served('assets/app.1.js')).toBe('1')
    expect(existsSync(join(site.target, 'current/assets/page.html'))).toBe(false)
    // Kept ones do not make it another release, and pages of two releases ago still find theirs.
    expect((await site.upload('r2', keep)).outputs['changed']).toBe('false')
    rmSync(join(site.source, 'assets'), { recursive: true })
    site.write({ 'index.html': 'no app' })
    expectSuccess(await site.upload('r3', keep))
    expect([site.served('assets/app.1.js'), site.served('assets/app.2.js')]).toEqual(['1', '2'])
    expectSuccess(await site.upload('r4'))
    expect(existsSync(join(site.target, 'current/assets'))).toBe(false)
  },
  linked: async () => {
    const site = newSite()
    expectSuccess(await site.upload('r1', { linked: 'media/uploads/\nconfig.json' }))
    writeFileSync(join(site.target, 'shared/media/uploads/photo.jpg'), 'photo')
    writeFileSync(join(site.target, 'shared/config.json'), '{}')
    site.write({ 'index.html': 'two' })
    expectSuccess(await site.upload('r2', { linked: 'media/uploads/\nconfig.json' }))
    expect(site.served('media/uploads/photo.jpg')).toBe('photo')
    expect(site.served('config.json')).toBe('{}')
    site.write({ 'config.json': 'of the source' })
    expectFailure(await site.upload('r3', { linked: 'config.json' }), /the source folder has too/)
  },
  chmod: async () => {
    const site = newSite({ 'a/index.html': 'one' })
    expectSuccess(await site.upload('r1', { chmod: 'u=rwX,g=rX,o=' }))
    expect(modeOf(join(site.target, 'current/a/index.html'))).toBe('640')
    expect(modeOf(join(site.target, 'current/a'))).toBe('750')
    expect(modeOf(join(site.target, 'current/'))).toBe('750')
    expectSuccess(await site.upload('r2', { chmod: '604' }))
    expect(modeOf(join(site.target, 'current/a/index.html'))).toBe('604')
    expect(modeOf(join(site.target, 'current/a'))).toBe('705')
  },
  chown: async () => {
    const site = newSite()
    expectFailure(await site.upload('r1', { chown: 'no_such_user' }), /no_such_user/)
    expect(site.current).toBe(undefined)
    const group = execFileSync('id', ['-g'], { encoding: 'utf8' }).trim()
    expectSuccess(await site.upload('r1', { chown: `:${group}` }))
  },
  'before-activate': async () => {
    const site = newSite()
    expectSuccess(await site.upload('r1'))
    const note = join(site.target, 'note')
    const command = `pwd >${note}\nreadlink ../../current >>${note}\necho "$EVENKEEL_RELEASE" >>${note}`
    expectSuccess(await site.upload('r2', { 'before-activate': command }))
    expect(readFileSync(note, 'utf8')).toBe(`${site.target}/releases/r2\nreleases/r1\nr2\n`)
    const failed = await site.upload('r3', { 'before-activate': 'echo no good >&2\nexit 4\ntrue' })
    expectFailure(failed, /`before-activate` ended with exit code 4/, /no good/)
    expect(site.current).toBe('releases/r2')
  },
  'after-activate': async () => {
    const site = newSite()
    const result = await site.upload('r1', {
      'after-activate': 'echo "$EVENKEEL_RELEASE is $(readlink current) in $(pwd)"',
    })
    expectSuccess(result)
    expect(result.log).toContain(`after-activate | r1 is releases/r1 in ${site.target}`)
    const failed = await site.upload('r2', { 'after-activate': 'false' })
    expectFailure(failed, /`after-activate` ended with exit code 1/, /serves release r1/)
    expect(site.current).toBe('releases/r1')
  },
  verify: async () => {
    const site = newSite({ 'index.html': 'one', 'other.html': 'other' })
    symlinkSync('other.html', join(site.source, 'link'))
    expectSuccess(await site.upload('r1'))
    // As by a person who edits on the server: the list stored there does not tell of it.
    writeFileSync(join(site.target, 'current/other.html'), 'OTHER')
    rmSync(join(site.target, 'current/link'))
    writeFileSync(join(site.target, 'current/stray.html'), 'stray')
    site.write({ 'index.html': 'two' })
    const result = await site.upload('r2', { verify: 'full' })
    expectSuccess(result)
    expect(result.outputs['files-sent']).toBe('2')
    expect(treeOf(join(site.target, 'current/'))).toEqual(treeOf(site.source))
    const before = treeOf(site.target)
    expectSuccess(await site.upload('r3', { verify: 'full', 'dry-run': 'true' }))
    expect(treeOf(site.target)).toEqual(before)
  },
  'lock-wait': async () => {
    const site = newSite()
    expectSuccess(await site.upload('r1'))
    const held = join(mkdtempSync(join(tmpdir(), 'evenkeel-held-')), 'held')
    const lock = join(site.target, 'releases/.evenkeel/lock')
    const holder = site.startUpload('r2', {
      'before-activate': `touch ${held}; while [ -e ${held} ]; do sleep 0.1; done`,
    })
    await holder.waitForLog(/release r2 is complete/)
    expect(existsSync(lock)).toBe(true)
    expectFailure(await site.upload('r3'), /another deploy of this site is at work/)
    const waiting = site.startUpload('r3', { 'lock-wait': '30s' })
    await waiting.waitForLog(/waiting for the lock/)
    rmSync(join(held, '..'), { recursive: true })
    expectSuccess(await holder.result)
    expectSuccess(await waiting.result)
    expect(site.current).toBe('releases/r3')
  },
  'dry-run': async () => {
    const site = newSite()
    const before = treeOf(site.target)
    expectSuccess(await site.upload('r1', { 'dry-run': 'true' }))
    expect(treeOf(site.target)).toEqual(before)
  },
})
