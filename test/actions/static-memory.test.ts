// The memory of an upload must not follow the size of the site. `npm run soak -- upload` is the large form of this.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { contenders } from '../bench/contenders.ts'
import { measurePeak } from '../bench/peak-memory.ts'
import { growSite, type SiteShape } from '../bench/sites.ts'

const LIMIT_MB = 200
const BYTES_PER_FILE = 2_000
const few: SiteShape = { folders: 50, files: 5_000, bytes: 200, solid: 0.2 }
const many: SiteShape = { folders: 300, files: 30_000, bytes: 200, solid: 0.2 }
const large: SiteShape = { folders: 1, files: 3, bytes: 80_000_000, solid: 1 }

let sshd: Sshd
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'evenkeel-memory-'))
  sshd = await startSshd()
})
afterAll(async () => {
  await sshd?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Of a first upload and of one on top of it. */
async function peaks(node: string, shape: SiteShape): Promise<number[]> {
  const source = join(folder, 'source')
  const target = join(folder, 'target')
  growSite(source, shape)
  mkdirSync(target)
  const [action] = contenders(sshd, sshd.host).filter(({ name }) => name.endsWith(`Node ${node}`))
  if (action === undefined) throw new Error(`no action for Node ${node}`)
  const first = await measurePeak(action, target, source, 0)
  const second = await measurePeak(action, target, source, 1)
  rmSync(target, { recursive: true })
  return [first.megabytes, second.megabytes]
}

test.each(['20', '24'])('six times the files take little more memory, on Node %s', async (node) => {
  const small = await peaks(node, few)
  const big = await peaks(node, many)
  for (const [at, megabytes] of big.entries()) {
    const perFile = ((megabytes - (small[at] ?? 0)) * 1e6) / (many.files - few.files)
    expect(perFile).toBeLessThan(BYTES_PER_FILE)
    expect(megabytes).toBeLessThan(LIMIT_MB)
  }
})

test('large files pass through', async () => {
  for (const megabytes of await peaks('24', large)) expect(megabytes).toBeLessThan(LIMIT_MB)
})
