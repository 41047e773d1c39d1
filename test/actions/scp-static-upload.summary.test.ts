// What the summary and the report tell, against a site of which all is known.
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { formatDuration } from '../../src/duration.ts'
import { formatBytes } from '../../src/release/progress.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { secondHost } from './static-pair.ts'
import { siteOn } from './static-servers.ts'

const SIZE = 200_000
/** What a header, a file's padding and the lists take is far below that. */
const OVERHEAD = 30_000
const images = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [`${name}.jpg`, randomBytes(SIZE)]))

/** The table's rows, cells by the words of its header. */
function tableOf(summary: string): Record<string, string>[] {
  const plain = summary.replaceAll(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
  const [header = [], _line, ...rows] = plain
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.slice(1, -1).split('|'))
  return rows.map((cells) =>
    Object.fromEntries(header.map((name, at) => [name.trim(), cells[at]?.trim() ?? ''])),
  )
}

test('a row for each host: files, bytes, phases', async () => {
  const site = await siteOn({}, images('new-1', 'kept-1', 'kept-2', 'kept-3', 'kept-4', 'other-1', 'gone'))
  const { both } = await secondHost(site)
  rmSync(join(site.source, 'new-1.jpg'))
  expectSuccess(await site.upload('r0'))
  site.write(images('other-1', 'new-1', 'new-2', 'new-3'))
  rmSync(join(site.source, 'gone.jpg'))
  const result = await site.upload('r1', both)
  expectSuccess(result)

  const rows = tableOf(result.summary)
  const [first, second] = both.host.split('\n')
  expect(rows).toMatchObject([
    { host: first, added: '3', changed: '1', removed: '1', unchanged: '4' },
    { host: second, added: '8', changed: '0', removed: '0', unchanged: '0' },
  ])
  for (const row of rows) expect(row).toMatchObject({ site: '1.6 MB', serves: 'release r1' })

  const { hosts } = JSON.parse(result.outputs['report'] ?? '')
  const [wire1, wire2] = hosts.map(({ bytesOnWire }: { bytesOnWire: number }) => bytesOnWire)
  expect(rows.map((row) => row['on the wire'])).toEqual([
    `${formatBytes(wire1)} (none)`,
    `${formatBytes(wire2)} (none)`,
  ])
  for (const [wire, files] of [
    [wire1, 4],
    [wire2, 8],
  ]) {
    expect(wire).toBeGreaterThan(files * SIZE)
    expect(wire).toBeLessThan(files * SIZE + OVERHEAD)
  }
  expect(result.outputs).toMatchObject({
    files: '8',
    'files-sent': '8',
    'bytes-sent': String(wire1 + wire2),
    'previous-release': 'r0',
  })
  for (const [at, { comparedMs, sentMs, verifiedMs }] of hosts.entries()) {
    const phases = [comparedMs, sentMs, verifiedMs]
    expect(rows[at]?.['compare / send / verify']).toBe(phases.map(formatDuration).join(' / '))
    expect(sentMs).toBeGreaterThan(0)
    expect(comparedMs + sentMs + verifiedMs).toBeLessThanOrEqual(Number(result.outputs['duration-ms']) + 3)
  }
  expect(result.summary).toMatch(/Took [\d.]+ m?s, of which [\d.]+ m?s to connect; before it: r0\./)
})
