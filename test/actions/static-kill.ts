// What must hold wherever an upload is broken off: the site is wholly old or wholly new, and the same upload then
// comes to its end, with what has arrived.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { Sshd } from '../bed/sshd.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { startLine } from './static-line.ts'
import { StaticSite, treeOf } from './static-site.ts'

export const WAYS = ['kill -9', 'cancel', 'cut'] as const
export type Way = (typeof WAYS)[number]

/** Where a run stops: something that holds it there until it is let go. */
export interface Stop {
  close(): void
  reached(): Promise<void>
  open(): void
}

export const FILES = 40

/** A site with releases `oldest` and `old`, made once; each test gets a copy. */
export async function makeTemplate(sshd: Sshd): Promise<StaticSite> {
  const site = new StaticSite(sshd, { 'kept.js': 'kept' })
  for (const release of ['oldest', 'older', 'old']) {
    site.write({ 'index.html': release })
    expectSuccess(await site.upload(release))
  }
  return site
}

export function pages(): Record<string, Buffer> {
  return Object.fromEntries(
    Array.from({ length: FILES }, (_, at) => [`page-${at}.html`, randomBytes(50_000)]),
  )
}

/** Breaks an upload off at `stop`, in that way, and looks at what is served all along. */
export async function breakOff(
  template: StaticSite,
  way: Way,
  makeStop: (line: Awaited<ReturnType<typeof startLine>>, site: StaticSite) => Stop,
  more: Record<string, string> = {},
): Promise<{ filesSent: number; servedAfter: 'old' | 'new'; log: string }> {
  const site = new StaticSite(template.sshd, { 'kept.js': 'kept', 'index.html': 'new', ...pages() })
  execFileSync('cp', ['-a', `${template.target}/.`, `${site.target}/`])
  const old = treeOf(join(template.target, 'current/'))
  const fresh = treeOf(site.source)
  const wholly = (): 'old' | 'new' => {
    const tree = treeOf(join(site.target, 'current/'))
    if (JSON.stringify(tree) === JSON.stringify(old)) return 'old'
    expect(tree).toEqual(fresh)
    return 'new'
  }
  const line = await startLine(site.sshd)
  const stop = makeStop(line, site)
  onTestFinished(() => {
    stop.open()
    line.close()
    site.remove()
  })
  stop.close()
  const run = site.startUpload('new', { ...line.inputs, ...more })
  await Promise.race([
    stop.reached(),
    run.result.then(({ log }) => {
      throw new Error(`it ended before it was to be broken off:\n${log}`)
    }),
  ])
  wholly()
  if (way === 'kill -9') run.kill9()
  if (way === 'cut') line.cut()
  if (way === 'cancel') {
    void run.cancel()
    await run.waitForLog(/SIGINT: stopping/)
    // What must not be broken off comes to its end.
    stop.open()
  }
  const { conclusion, log } = await run.result
  expect(conclusion, log).toBe(way === 'cancel' ? 'cancelled' : 'failure')
  wholly()
  // What was held comes late now.
  stop.open()
  const next = await site.upload('new', { 'lock-wait': '20s' })
  expectSuccess(next)
  const servedAfter = wholly()
  expect(servedAfter).toBe('new')
  expect(readdirSync(site.target).sort()).toEqual(['current', 'releases'])
  expect(readdirSync(join(site.target, 'releases/.evenkeel/staging'))).toEqual([])
  expect(readdirSync(join(site.target, 'releases/.evenkeel'))).not.toContain('pending')
  return { filesSent: Number(next.outputs['files-sent']), servedAfter, log }
}
