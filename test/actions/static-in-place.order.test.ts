// In place, one thing after the other: new assets, pages, deletions.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Sshd } from '../bed/sshd.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { startGatedSftp } from './sftp-gates.ts'
import { startGatedSshd } from './static-gates.ts'
import { StaticSite } from './static-site.ts'

interface Stop {
  close(): void
  reached(): Promise<void>
  open(): void
}

interface Way {
  readonly sshd: Sshd
  readonly firstPage: Stop
  readonly firstDeletion: Stop
}

interface Gates<G> {
  close(gate: G): void
  reached(gate: G): Promise<void>
  open(gate: G): void
}

const stopOf = <G>(gates: Gates<G>, gate: G): Stop => ({
  close: () => gates.close(gate),
  reached: () => gates.reached(gate),
  open: () => gates.open(gate),
})

let shell: Awaited<ReturnType<typeof startGatedSshd>>
let sftp: Awaited<ReturnType<typeof startGatedSftp>>
const ways: Record<string, () => Way> = {
  'a shell': () => ({
    sshd: shell.sshd,
    firstPage: stopOf(shell, 'pages'),
    firstDeletion: stopOf(shell, 'deletions'),
  }),
  'SFTP alone': () => ({
    sshd: sftp.sshd,
    firstPage: stopOf(sftp, 'between assets and pages'),
    firstDeletion: stopOf(sftp, 'deletions'),
  }),
}

beforeAll(async () => {
  shell = await startGatedSshd()
  sftp = await startGatedSftp()
})
afterAll(async () => {
  await shell?.stop()
  await sftp?.stop()
})

const PAGES = ['index.html', 'about/index.html', 'a/first.html', 'z/last.htm']
const ASSETS = ['shared.js', 'a/shared.css', 'z/assets/logo.svg']
const NEW_ASSETS = ['app.new.js', 'a/new.css', 'z/new/logo.svg']
const GONE = ['gone.js', 'a/gone.js', 'z/assets/gone.js']
const written = (paths: readonly string[], text: string) =>
  Object.fromEntries(paths.map((path) => [path, text]))

test.each(Object.keys(ways))('through %s', async (name) => {
  const { sshd, firstPage, firstDeletion } = (ways[name] as () => Way)()
  const site = new StaticSite(sshd, written([...PAGES, ...ASSETS, ...GONE], 'old'))
  onTestFinished(() => {
    firstPage.open()
    firstDeletion.open()
    site.remove()
  })
  const inPlace = { mode: 'in-place', delete: 'true' }
  expectSuccess(await site.upload('old', inPlace))
  for (const path of GONE) rmSync(join(site.source, path))
  site.write(written([...PAGES, ...ASSETS, ...NEW_ASSETS], 'new'))
  const lying = (paths: readonly string[]) =>
    Object.fromEntries(
      paths.map((path) => {
        const file = join(site.target, path)
        return [path, existsSync(file) ? readFileSync(file, 'utf8') : 'nothing']
      }),
    )
  firstPage.close()
  firstDeletion.close()
  const run = site.startUpload('new', inPlace)

  await firstPage.reached()
  expect(lying([...ASSETS, ...NEW_ASSETS])).toEqual(written([...ASSETS, ...NEW_ASSETS], 'new'))
  expect(lying([...PAGES, ...GONE])).toEqual(written([...PAGES, ...GONE], 'old'))
  firstPage.open()

  await firstDeletion.reached()
  expect(lying([...PAGES, ...ASSETS, ...NEW_ASSETS])).toEqual(
    written([...PAGES, ...ASSETS, ...NEW_ASSETS], 'new'),
  )
  expect(lying(GONE)).toEqual(written(GONE, 'old'))
  firstDeletion.open()

  expectSuccess(await run.result)
  expect(site.placed).toEqual(site.toBePlaced)
})
