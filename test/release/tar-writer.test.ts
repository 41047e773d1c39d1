import { execFileSync } from 'node:child_process'
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { TarHeaders, type TarMember, tarEnd, tarPadding } from '../../src/release/tar-writer.ts'

const common = { mtime: 1_700_000_000, size: 0 }
const headers = new TarHeaders()
const tarHeader = (member: TarMember) => Buffer.from(headers.of(member))

test('tar unpacks names and link targets of any length and any bytes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-tar-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const names = [99, 100, 101, 255].map((length) => `${'n\xff'.repeat(128)}`.slice(0, length))
  const parts = names.flatMap((name) => {
    const content = Buffer.from(`content of ${name.length}`)
    return [
      tarHeader({ ...common, name, type: 'file', mode: 0o640, size: content.length }),
      content,
      tarPadding(content.length),
    ]
  })
  const to = 'far/'.repeat(60)
  parts.push(tarHeader({ ...common, name: 'link', type: 'link', mode: 0o777, to }))
  parts.push(tarHeader({ ...common, name: 'folder', type: 'folder', mode: 0o750 }))
  execFileSync('tar', ['-xpof', '-'], { cwd: folder, input: Buffer.concat([...parts, tarEnd()]) })
  const found = readdirSync(folder, { encoding: 'buffer' }).map((name) => name.toString('latin1'))
  expect(found.sort()).toEqual([...names, 'link', 'folder'].sort())
  for (const name of names) {
    const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')])
    expect(readFileSync(path, 'utf8')).toBe(`content of ${name.length}`)
    expect(lstatSync(path)).toMatchObject({ mode: 0o100640, mtimeMs: 1_700_000_000_000 })
  }
  expect(readlinkSync(join(folder, 'link'))).toBe(to)
  expect(lstatSync(join(folder, 'folder')).mode & 0o777).toBe(0o750)
})

test('tar reads a size beyond what octal digits hold', () => {
  const size = 9 * 1024 ** 3
  const archive = join(mkdtempSync(join(tmpdir(), 'evenkeel-tar-')), 'a.tar')
  onTestFinished(() => rmSync(join(archive, '..'), { recursive: true }))
  execFileSync('tee', [archive], {
    input: tarHeader({ ...common, name: 'huge', type: 'file', mode: 0o644, size }),
  })
  // A hole as long as the content, and the end of the archive.
  truncateSync(archive, 512 + size + 1024)
  expect(execFileSync('tar', ['-tvf', archive], { encoding: 'utf8' })).toContain(` ${size} `)
})
