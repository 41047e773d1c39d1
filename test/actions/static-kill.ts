// What must hold wherever an upload is broken off: the site is wholly old or wholly new, and the same upload then
// comes to its end, with what has arrived.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { Sshd } from '../bed/sshd.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { startLine } from './static-line.ts'
import { type Files, StaticSite, treeOf } from './static-site.ts'

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

type MakeStop = (line: Awaited<ReturnType<typeof startLine>>, site: StaticSite) => Stop

/** Starts an upload of `new`, breaks it off at its stop, and lets it come to its end. `check` holds all along. */
async function broken(
  site: StaticSite,
  way: Way,
  makeStop: MakeStop,
  inputs: Record<string, string>,
  check: () => void,
): Promise<string> {
  const line = await startLine(site.sshd)
  const stop = makeStop(line, site)
  onTestFinished(() => {
    stop.open()
    line.close()
    site.remove()
  })
  stop.close()
  const run = site.startUpload('new', { ...line.inputs, ...inputs })
  await Promise.race([
    stop.reached(),
    run.result.then(({ log }) => {
      throw new Error(`it ended before it was to be broken off:\n${log}`)
    }),
  ])
  check()
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
  check()
  // What was held comes late now.
  stop.open()
  return log
}

/** Breaks an upload off at `stop`, in that way, and looks at what is served all along. */
export async function breakOff(
  template: StaticSite,
  way: Way,
  makeStop: MakeStop,
  more: Record<string, string> = {},
): Promise<{ filesSent: number }> {
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
  await broken(site, way, makeStop, more, wholly)
  const next = await site.upload('new', { 'lock-wait': '20s' })
  expectSuccess(next)
  expect(wholly()).toBe('new')
  expect(readdirSync(site.target).sort()).toEqual(['current', 'releases'])
  expect(readdirSync(join(site.target, 'releases/.evenkeel/staging'))).toEqual([])
  expect(readdirSync(join(site.target, 'releases/.evenkeel'))).not.toContain('pending')
  return { filesSent: Number(next.outputs['files-sent']) }
}

/** Pages that name their assets, and an asset that goes. */
function namingPages(release: string): Record<string, string> {
  const page = `assets/app.${release}.js shared.js`
  return {
    'index.html': page,
    'about/index.html': page,
    'shared.js': release,
    [`assets/app.${release}.js`]: release,
  }
}

/** Files that the second upload of `breakOffInPlace` has to send. */
export const FILES_IN_PLACE = Object.keys(namingPages('new')).length

/** The same in place: never a page that names what is not there; then the site is whole again. */
export async function breakOffInPlace(
  sshd: Sshd,
  way: Way,
  makeStop: MakeStop,
  more: Files = {},
): Promise<{ filesSent: number }> {
  const inputs = { mode: 'in-place', delete: 'true' }
  const site = new StaticSite(sshd, { ...namingPages('old'), 'gone.js': 'gone' })
  expectSuccess(await site.upload('old', inputs))
  const old = site.toBePlaced
  rmSync(join(site.source, 'assets'), { recursive: true })
  rmSync(join(site.source, 'gone.js'))
  site.write({ ...namingPages('new'), ...more })
  const fresh = site.toBePlaced
  const noDeadNames = () => {
    for (const page of ['index.html', 'about/index.html']) {
      for (const name of readFileSync(join(site.target, page), 'utf8').split(' ')) {
        expect(existsSync(join(site.target, name)), `${page} names ${name}`).toBe(true)
      }
    }
  }
  await broken(site, way, makeStop, inputs, noDeadNames)
  // The settle step or nobody has been at it: what stands is whole, or is put right by the next run.
  noDeadNames()
  if (way !== 'cut')
    expect([JSON.stringify(old), JSON.stringify(fresh)]).toContain(JSON.stringify(site.placed))
  const next = await site.upload('new', { ...inputs, 'lock-wait': '20s' })
  expectSuccess(next)
  expect(site.placed).toEqual(fresh)
  expect(readdirSync(join(site.target, '.evenkeel/staging'))).toEqual([])
  for (const left of ['pending', 'next', 'back', 'undoing', 'confirmed']) {
    expect(existsSync(join(site.target, '.evenkeel', left)), left).toBe(false)
  }
  return { filesSent: Number(next.outputs['files-sent']) }
}
