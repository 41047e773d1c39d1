// A hundred thousand files, then a gigabyte: how long, and how much memory the action takes at its peak.
// Options: --only=<part of a way's name>  --nodes=24,20
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { startSshd } from '../bed/sshd.ts'
import { evenkeel } from '../bench/contenders.ts'
import { measurePeak } from '../bench/peak-memory.ts'
import { growSite, type SiteShape, touchAll } from '../bench/sites.ts'
import type { NodeRelease } from '../harness/job.ts'

const LIMIT_MB = 200
const manySmall: SiteShape = { folders: 1_000, files: 100_000, bytes: 1_000, solid: 0.2 }
const fewLarge: SiteShape = { folders: 1, files: 10, bytes: 100_000_000, solid: 1 }
const titles = new Map([
  [manySmall, '100,000 files of 1 KB'],
  [fewLarge, '10 files of 100 MB'],
])

interface Way {
  readonly name: string
  readonly shapes: readonly SiteShape[]
  readonly inputs?: Readonly<Record<string, string>>
  readonly isSftp?: boolean
  /** Where it is more than for the others, as the README says. */
  readonly limitMb?: number
}

const inPlace = { mode: 'in-place', delete: 'true' }
const full = { verify: 'full' }
const ways: readonly Way[] = [
  { name: 'shell', shapes: [manySmall, fewLarge] },
  { name: 'shell, verify: full', shapes: [manySmall], inputs: full },
  { name: 'shell, in place', shapes: [manySmall], inputs: inPlace },
  { name: 'shell, in place, verify: full', shapes: [manySmall], inputs: { ...inPlace, ...full } },
  { name: 'SFTP alone', shapes: [manySmall, fewLarge], isSftp: true },
  { name: 'SFTP alone, verify: full', shapes: [manySmall], inputs: full, isSftp: true, limitMb: 250 },
  { name: 'SFTP alone, in place', shapes: [manySmall], inputs: inPlace, isSftp: true, limitMb: 250 },
]

const option = (name: string, fallback: string): string =>
  process.argv.find((one) => one.startsWith(`--${name}=`))?.split('=')[1] ?? fallback

/** Prints time and peak memory of each; false where one takes more than the limit. */
export async function soakUpload(): Promise<boolean> {
  const work = mkdtempSync(join(tmpdir(), 'evenkeel-soak-'))
  const servers = {
    shell: await startSshd(),
    sftp: await startSshd({ config: ['ForceCommand internal-sftp'] }),
  }
  const rows: object[] = []
  let isWithin = true
  try {
    const nodes = option('nodes', '24,20').split(',') as NodeRelease[]
    const source = join(work, 'source')
    const target = join(work, 'target')
    for (const [shape, site] of titles) {
      const chosen = ways.filter((way) => way.shapes.includes(shape) && way.name.includes(option('only', '')))
      if (chosen.length > 0) growSite(source, shape)
      for (const { name: way, inputs, isSftp, limitMb = LIMIT_MB } of chosen) {
        const sshd = isSftp ? servers.sftp : servers.shell
        for (const node of nodes) {
          const one = evenkeel(node, sshd, sshd.host, inputs)
          mkdirSync(target)
          for (const [at, run] of ['cold', '1%'].entries()) {
            if (at > 0) touchAll(source, shape)
            const row = { site, way, node, run, ...(await measurePeak(one, target, source, at)) }
            console.log(Object.values(row).join('  '))
            rows.push(row)
            isWithin &&= row.megabytes <= limitMb
          }
          rmSync(target, { recursive: true })
        }
      }
    }
  } finally {
    await Promise.all(Object.values(servers).map((sshd) => sshd.stop()))
    rmSync(work, { recursive: true, force: true })
  }
  console.table(rows)
  return isWithin
}
