// How much memory a contender's process takes at its peak.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import type { Contender } from './contenders.ts'

export interface Peak {
  readonly seconds: number
  readonly megabytes: number
}

/** Runs it to its end; throws where that is not a success. */
export async function measurePeak(
  one: Contender,
  target: string,
  source: string,
  run: number,
): Promise<Peak> {
  const begun = performance.now()
  const child = spawn('bash', ['-c', one.script, 'bash', target, source, String(run)], {
    env: { PATH: process.env['PATH'], HOME: target, ...one.env?.(target, source, run) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output = `${output}${chunk}`.slice(-4096)
  })
  let peak = 0
  // The kernel keeps the peak: the last look counts.
  const timer = setInterval(() => {
    peak = Math.max(peak, peakOf(child.pid ?? 0))
  }, 10)
  const code = await new Promise((resolve) => child.once('close', resolve))
  clearInterval(timer)
  if (code !== 0) throw new Error(`${one.name} ended with ${code}:\n${output}`)
  return { seconds: Math.round((performance.now() - begun) / 100) / 10, megabytes: Math.round(peak) }
}

/** The most memory that a process has held, in MB; 0 when it has gone. */
function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}
