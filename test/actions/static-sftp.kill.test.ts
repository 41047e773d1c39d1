import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SftpGate, startGatedSftp } from './sftp-gates.ts'
import { breakOff, breakOffInPlace, FILES, FILES_IN_PLACE, makeTemplate, WAYS } from './static-kill.ts'
import type { StaticSite } from './static-site.ts'

let gated: Awaited<ReturnType<typeof startGatedSftp>>
let template: StaticSite

beforeAll(async () => {
  gated = await startGatedSftp()
  template = await makeTemplate(gated.sshd)
})
afterAll(async () => {
  await gated?.stop()
  template?.remove()
})

const stopAt = (gate: SftpGate) => () => ({
  close: () => gated.close(gate),
  reached: () => gated.reached(gate),
  open: () => gated.open(gate),
})

/** What the next run sends at most. */
const PHASES: [SftpGate, number][] = [
  ['claim', FILES + 1],
  ['links', FILES + 1],
  ['first file', FILES + 1],
  ['middle of the files', FILES - 10],
  ['before it is a release', 0],
  ['before the swap', 0],
  ['after the swap', 0],
  ['before it is confirmed', 0],
  ['prune', 0],
]

describe.each(PHASES)('broken off at: %s', (gate, most) => {
  test.each(WAYS)('%s', async (way) => {
    const { filesSent } = await breakOff(template, way, stopAt(gate), { 'keep-releases': '2' })
    expect(filesSent).toBeLessThanOrEqual(most)
  })
})

/** What is in its place is taken back, and sent again. */
const PLACES: [SftpGate, number][] = [
  ['before it is next', 0],
  ['before the first file takes its place', FILES_IN_PLACE],
  ['between assets and pages', FILES_IN_PLACE],
  ['deletions', FILES_IN_PLACE],
  ['before the list is replaced', 0],
]

describe.each(PLACES)('in place, broken off at: %s', (gate, most) => {
  test.each(WAYS)('%s', async (way) => {
    const { filesSent } = await breakOffInPlace(gated.sshd, way, stopAt(gate))
    expect(filesSent).toBeLessThanOrEqual(most)
  })
})
