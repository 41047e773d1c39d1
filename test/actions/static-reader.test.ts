// Somebody reads the site through nginx all the time while releases come and go.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startNginx } from '../bed/nginx.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { StaticSite } from './static-site.ts'

const servers: Record<string, Sshd> = {}

beforeAll(async () => {
  servers.shell = await startSshd()
  servers.SFTP = await startSshd({ config: ['ForceCommand internal-sftp'] })
})
afterAll(() => Promise.all(Object.values(servers).map((sshd) => sshd.stop())))

const ASSETS = 10
/** As long as a visitor may take from the page to its assets. */
const PATIENCE_MS = 60_000

/** A page that names its assets, each of which says to which release it belongs. */
function release(site: StaticSite, id: string): void {
  rmSync(join(site.source, 'assets'), { recursive: true, force: true })
  const names = Array.from({ length: ASSETS }, (_, at) => `assets/app-${at}.${id}.js`)
  site.write(Object.fromEntries(names.map((name) => [name, id])))
  site.write({ 'index.html': `${id} ${names.join(' ')} ${id}`.padEnd(20_000) })
}

test.each([
  ['atomic', 'shell'],
  ['atomic', 'SFTP'],
  ['in-place', 'shell'],
])('%s, %s: every page is whole, and its assets stay', async (mode, server) => {
  const site = new StaticSite(servers[server] as Sshd, {})
  onTestFinished(() => site.remove())
  const root = mode === 'atomic' ? `${site.target}/current` : site.target
  const nginx = await startNginx({
    workers: 2,
    http: (port) => `server { listen 127.0.0.1:${port}; root ${root}; }`,
  })
  onTestFinished(() => nginx.stop())
  const inputs = { mode, 'keep-assets': 'assets/**', ...(mode === 'in-place' ? { delete: 'true' } : {}) }
  release(site, 'r0')
  expectSuccess(await site.upload('r0', inputs))

  let isReading = true
  let reads = 0
  const broken: string[] = []
  /** Assets by the time their page was last fetched. */
  const seen = new Map<string, number>()
  const hasBeenRead = (id: string) =>
    until(`a page of ${id} is read`, () => [...seen.keys()].some((name) => name.includes(`.${id}.`)))
  const reader = async (): Promise<void> => {
    while (isReading) {
      const text = (await (await fetch(`${nginx.url}/index.html`)).text()).trimEnd()
      const [id, ...assets] = text.split(' ')
      const last = assets.pop()
      if (id !== last || assets.length !== ASSETS || assets.some((name) => !name.includes(`.${id}.`))) {
        broken.push(`a mixed page: ${text}`)
      }
      for (const name of assets) seen.set(name, Date.now())
      for (const [name, at] of seen) {
        if (Date.now() - at > PATIENCE_MS) continue
        const response = await fetch(`${nginx.url}/${name}`)
        const body = await response.text()
        if (response.status !== 200 || !name.includes(`.${body}.`))
          broken.push(`${name}: ${response.status} ${body}`)
      }
      reads++
    }
  }
  const readers = [reader(), reader()]
  try {
    for (const id of ['r1', 'r2', 'r3', 'r4']) {
      release(site, id)
      expectSuccess(await site.upload(id, inputs))
    }
    if (mode === 'atomic') {
      // Back from one that is not well, back from a good one, and forwards again.
      release(site, 'r5')
      const unwell = { 'health-url': `${nginx.url}/none`, 'health-from': 'runner', 'health-timeout': '10m' }
      const failing = site.startUpload('r5', { ...inputs, ...unwell })
      await hasBeenRead('r5')
      expect((await failing.cancel()).conclusion).toBe('cancelled')
      expect(site.current).toBe('releases/r4')
      await hasBeenRead('r4')
      expectSuccess(await site.rollback())
      expect(site.current).toBe('releases/r3')
      release(site, 'r6')
      expectSuccess(await site.upload('r6', inputs))
      await hasBeenRead('r6')
    }
  } finally {
    isReading = false
    await Promise.all(readers)
  }
  expect(broken).toEqual([])
  expect(seen.size).toBeGreaterThanOrEqual(4 * ASSETS)
  expect(reads).toBeGreaterThan(20)
})
