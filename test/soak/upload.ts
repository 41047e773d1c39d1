// A hundred thousand files, then a gigabyte: how long, and how much memory the action takes at its peak.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { startSshd } from '../bed/sshd.ts'
import { type Contender, contenders } from '../bench/contenders.ts'
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
  const rows: Record<string, unknown>[] = []
  try {
    const ours = contenders(sshd, sshd.host).filter(({ name }) => name.startsWith('scp-static-upload'))
    for (const [title, shape] of Object.entries(shapes)) {
      const source = join(work, 'source')
      growSite(source, shape)
      for (const [at, one] of ours.entries()) {
        const target = join(work, 'target')
        mkdirSync(target)
        const row = { site: title, action: one.name }
        rows.push({ ...row, run: 'cold', ...(await measure(one, work, source, at * 2)) })
        touchAll(source, shape)
        rows.push({ ...row, run: '1%', ...(await measure(one, work, source, at * 2 + 1)) })
        rmSync(target, { recursive: true })
      }
    }
  } finally {
    await sshd.stop()
    rmSync(work, { recursive: true, force: true })
  }
  console.table(rows)
  return rows.every((row) => Number(row['peak MB']) <= LIMIT_MB)
}

async function measure(one: Contender, work: string, source: string, run: number) {
  const target = join(work, 'target')
  const begun = performance.now()
  const child = spawn('bash', ['-c', one.script, 'soak', target, source, String(run)], {
    env: { PATH: process.env['PATH'], HOME: work, ...one.env?.(target, source, run) },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  let peak = 0
  const timer = setInterval(() => {
    peak = Math.max(peak, peakOf(child.pid ?? 0))
  }, 20)
  const code = await new Promise((resolve) => child.once('exit', resolve))
  clearInterval(timer)
  if (code !== 0) throw new Error(`${one.name} ended with ${code}`)
  return { seconds: Math.round((performance.now() - begun) / 100) / 10, 'peak MB': Math.round(peak) }
}

/** The most memory that a process has held, in MB; 0 when it has gone. */
function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}
