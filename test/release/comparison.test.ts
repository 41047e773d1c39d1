import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compare } from '../../src/release/comparison.ts'
import {
  contentId,
  decodeManifest,
  type Entry,
  encodeManifest,
  isInsidePath,
  makeManifest,
} from '../../src/release/manifest.ts'

const hash = (text: string) => Buffer.from(text.padEnd(16, '.')).toString('hex').slice(0, 32)
const file = (path: string, text = 'x', mode = 0o644): Entry => ({
  type: 'file',
  path,
  mode,
  size: text.length,
  hash: hash(text),
})
const folder = (path: string): Entry => ({ type: 'folder', path, mode: 0o755 })
const link = (path: string, to: string): Entry => ({ type: 'link', path, to })
const never = () => false
const onServer = { host: 'server', path: '/manifest.gz' }

describe('comparing', () => {
  test('sends what is new or different in content or mode, and nothing else', () => {
    const base = makeManifest([
      folder('a'),
      file('a/same'),
      file('a/text', 'old'),
      file('a/mode'),
      link('l', 'a'),
    ])
    const site = makeManifest([
      folder('a'),
      file('a/same'),
      file('a/text', 'new'),
      file('a/mode', 'x', 0o600),
      link('l', 'a/same'),
      file('fresh'),
    ])
    const result = compare(base, site, never, 0)
    expect([...result.send.keys()]).toEqual(['a/mode', 'a/text', 'fresh', 'l'])
    expect(result).toMatchObject({ added: 1, changed: 3, removed: 0, unchanged: 1, replace: [] })
  })

  test('removes files, and folders deepest first', () => {
    const base = makeManifest([folder('a'), folder('a/b'), file('a/b/c'), file('d')])
    const result = compare(base, makeManifest([file('d')]), never, 0)
    expect(result).toMatchObject({
      removeFiles: ['a/b/c'],
      removeFolders: ['a/b', 'a'],
      removed: 1,
    })
    expect(result.send.size).toBe(0)
  })

  test('never removes through what took a folder’s place', () => {
    // `uploads/x` would be reached through the new link, in the folder that it leads to.
    const base = makeManifest([
      folder('uploads'),
      file('uploads/x'),
      folder('uploads/y'),
      file('uploads/y/z'),
    ])
    const site = makeManifest([link('uploads', '../../shared/uploads')])
    const result = compare(base, site, () => true, 0)
    expect(result).toMatchObject({ replace: ['uploads'], removeFiles: [], removeFolders: [] })
    expect([...result.result.keys()]).toEqual(['uploads'])
  })

  test('keeps assets of the release before, for an hour', () => {
    const base = makeManifest([folder('assets'), file('assets/a.1.js'), file('assets/page.html')])
    const site = makeManifest([file('index.html')])
    const keep = (path: string) => path.endsWith('.js')
    const first = compare(base, site, keep, 1_000)
    expect(first.removeFiles).toEqual(['assets/page.html'])
    expect(first.removeFolders).toEqual([])
    expect(first.result.get('assets/a.1.js')?.kept).toBe(1_000)
    expect(contentId(first.result)).toBe(contentId(site))
    expect(compare(first.result, site, keep, 4_600).removeFiles).toEqual([])
    expect(compare(first.result, site, keep, 4_601)).toMatchObject({
      removeFiles: ['assets/a.1.js'],
      removeFolders: ['assets'],
    })
  })
})

describe('a stored manifest', () => {
  const bytes = (min: number) =>
    fc
      .uint8Array({ minLength: min, maxLength: 12 })
      .map((array) => Buffer.from(array).toString('latin1').replaceAll('\0', 'n'))
  const path = bytes(1).filter(isInsidePath)

  test('is read as it was written, whatever the names hold', () => {
    const entry = fc.oneof(
      fc.record({ type: fc.constant('folder' as const), path, mode: fc.nat({ max: 0o777 }) }),
      fc.record({ type: fc.constant('link' as const), path, to: bytes(0) }),
      fc.record({
        type: fc.constant('file' as const),
        path,
        mode: fc.nat({ max: 0o777 }),
        size: fc.nat(),
        hash: fc.constant(hash('z')),
        kept: fc.integer({ min: 1, max: 2_000_000_000 }),
      }),
    )
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const model = new Map(entries.map((one) => [one.path, one]))
        const manifest = makeManifest(entries)
        const inOrder = [...model.keys()].sort((a, b) =>
          Buffer.from(a, 'latin1').compare(Buffer.from(b, 'latin1')),
        )
        expect([...manifest.keys()]).toEqual(inOrder)
        for (const one of entries) expect(manifest.get(one.path)).toEqual(model.get(one.path))
        expect(manifest.has('no such path')).toBe(false)
        expect([...decodeManifest(encodeManifest(manifest), onServer).values()]).toEqual([
          ...manifest.values(),
        ])
      }),
    )
  })

  test.each(['../x', '/etc/passwd', 'a/../../b', 'a//b', './a'])('with the path %s is refused', (path) => {
    expect(() => decodeManifest(encodeManifest(makeManifest([file(path)])), onServer)).toThrow(
      /cannot be read/,
    )
  })
})
