// A hundred thousand files, then a gigabyte: how long, and how much memory the action takes at its peak.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startSshd } from '../bed/sshd.ts'
import { contenders } from '../bench/contenders.ts'
import { measurePeak } from '../bench/peak-memory.ts'
import { growSite, type SiteShape, touchAll } from '../bench/sites.ts'

const LIMIT_MB = 200
const shapes: Readonly<Record<string, SiteShape>> = {
  '100,000 files of 1 KB': { folders: 1_000, files: 100_000, bytes: 1_000, solid: 0.2 },
  '10 files of 100 MB': { folders: 1, files: 10, bytes: 100_000_000, solid: 1 },
}

/** Prints time and peak memory of each; false where one takes more than the limit. */
export async function soakUpload(): Promise<boolean> {
  const work = mkdtempSync(join(tmpdir(), 'evenkeel-soak-'))
  const sshd = await startSshd()
  const rows: { site: string; action: string; run: string; seconds: number; megabytes: number }[] = []
  try {
    const ours = contenders(sshd, sshd.host).filter(({ name }) => name.startsWith('scp-static-upload'))
    const source = join(work, 'source')
    const target = join(work, 'target')
    for (const [site, shape] of Object.entries(shapes)) {
      growSite(source, shape)
      for (const one of ours) {
        mkdirSync(target)
        const row = { site, action: one.name }
        rows.push({ ...row, run: 'cold', ...(await measurePeak(one, target, source, 0)) })
        touchAll(source, shape)
        rows.push({ ...row, run: '1%', ...(await measurePeak(one, target, source, 1)) })
        rmSync(target, { recursive: true })
      }
    }
  } finally {
    await sshd.stop()
    rmSync(work, { recursive: true, force: true })
  }
  console.table(rows)
  return rows.every(({ megabytes }) => megabytes <= LIMIT_MB)
}
