// Beside scp-static-upload.interrupted.test.ts: every further phase of an upload, in every way of breaking it off.
import { existsSync, globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../bed/process.ts'
import { type Gate, type GatedSshd, startGatedSshd } from './static-gates.ts'
import { breakOff, breakOffInPlace, FILES, FILES_IN_PLACE, makeTemplate, pages, WAYS } from './static-kill.ts'
import type { StaticSite } from './static-site.ts'

let gated: GatedSshd
let template: StaticSite

beforeAll(async () => {
  gated = await startGatedSshd()
  template = await makeTemplate(gated.sshd)
})
afterAll(async () => {
  await gated?.stop()
  template?.remove()
})

const stopAt = (gate: Gate) => () => ({
  close: () => gated.close(gate),
  reached: () => gated.reached(gate),
  open: () => gated.open(gate),
})

/** Where it stops, and what the next run sends at most. */
const PHASES: [Gate, number][] = [
  ['claim', FILES + 1],
  ['unpacked', 0],
  ['swapped', 0],
  ['prune', 0],
]

describe.each(PHASES)('broken off at: %s', (gate, most) => {
  test.each(WAYS)('%s', async (way) => {
    const { filesSent } = await breakOff(template, way, stopAt(gate), { 'keep-releases': '2' })
    expect(filesSent).toBeLessThanOrEqual(most)
  })
})

/** Resolves when the server has whole pages: what it has yet to unpack is lost with the line. */
const someArrived = (site: StaticSite) =>
  until(
    'pages have arrived',
    () => globSync(join(site.target, '**/.evenkeel/staging/*/tree/page-*')).length > 2,
  )

describe.each([
  // A login that is cut off is tried again: nothing has been done yet.
  ['the login', 100, FILES + 1, ['kill -9', 'cancel']],
  ['the middle of the files', 1_200_000, FILES - 1, WAYS],
] as const)('the line halts in %s', (_where, bytes, most, ways) => {
  test.each(ways)('%s', async (way) => {
    const { filesSent } = await breakOff(template, way, (line, site) => ({
      close: () => line.haltAfter(bytes),
      reached: async () => {
        await line.halted()
        if (most < FILES) await someArrived(site)
      },
      open: () => line.cut(),
    }))
    expect(filesSent).toBeLessThanOrEqual(most)
  })
})

describe('while its health is asked', () => {
  test.each(WAYS)('%s', async (way) => {
    const asked = join(gated.sshd.home, 'asked')
    const stop = {
      close: () => rmSync(asked, { force: true }),
      reached: () => until('the health is asked', () => existsSync(asked)),
      open: () => {},
    }
    const health = { 'health-command': `: >${asked}; sleep 600` }
    const { filesSent } = await breakOff(template, way, () => stop, health)
    expect(filesSent).toBe(0)
  })
})

/** What is in its place is taken back, and sent again. */
const PLACES: [Gate, number][] = [
  ['unpacked', 0],
  ['pages', FILES_IN_PLACE],
  ['deletions', FILES_IN_PLACE],
  ['before it is confirmed', FILES_IN_PLACE],
  ['before the list is replaced', 0],
  ['before the new list is there', 0],
]

describe.each(PLACES)('in place, broken off at: %s', (gate, most) => {
  test.each(WAYS)('%s', async (way) => {
    const { filesSent } = await breakOffInPlace(gated.sshd, way, stopAt(gate))
    expect(filesSent).toBeLessThanOrEqual(most)
  })
})

describe('in place, the line halts in the middle of the files', () => {
  test.each(WAYS)('%s', async (way) => {
    const halt: Parameters<typeof breakOffInPlace>[2] = (line, site) => ({
      close: () => line.haltAfter(1_200_000),
      reached: async () => {
        await line.halted()
        await someArrived(site)
      },
      open: () => line.cut(),
    })
    const { filesSent } = await breakOffInPlace(gated.sshd, way, halt, pages())
    expect(filesSent).toBeLessThan(FILES_IN_PLACE + FILES)
  })
})
