// `chown`, for web servers that run as another user.
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { expect, test } from 'vitest'
import { expectSuccess } from '../harness/input-cases.ts'
import { isRoot, siteOn } from './static-servers.ts'

const id = (...args: string[]) => execFileSync('id', args, { encoding: 'utf8' }).trim()

interface Owner {
  readonly input: string
  readonly uid: number
  readonly gid: number
}

/** Root may give files away; anybody else may give them to another group of his own. */
function otherOwner(): Owner {
  if (isRoot) {
    const [uid, gid] = [Number(id('-u', 'nobody')), Number(id('-g', 'nobody'))]
    return { input: `nobody:${id('-gn', 'nobody')}`, uid, gid }
  }
  const own = Number(id('-g'))
  const gid =
    id('-G')
      .split(' ')
      .map(Number)
      .find((one) => one !== own) ?? own
  return { input: `:${gid}`, uid: process.getuid?.() ?? -1, gid }
}

/** Owner and group of everything below a folder, by path; not of the action's own. */
function ownersIn(folder: string): Record<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return Object.fromEntries(
    paths
      .filter((path) => !path.startsWith('.evenkeel'))
      .map((path) => {
        const { uid, gid } = lstatSync(join(folder, path))
        return [path, `${uid}:${gid}`]
      }),
  )
}

test.each([
  ['atomic', 'current/', 'releases/.evenkeel'],
  ['in-place', '.', '.evenkeel'],
])("%s: what is uploaded has the owner, what is the action's own has not", async (mode, served, state) => {
  const { input, uid, gid } = otherOwner()
  const site = await siteOn({}, { 'index.html': 'one', 'a/b/page.html': 'page', '-rf': 'dash' })
  symlinkSync('a/b/page.html', join(site.source, 'link'))
  const upload = (release: string) => site.upload(release, { mode, chown: input })
  const owned = () =>
    Object.fromEntries(readdirSync(site.source, { recursive: true }).map((path) => [path, `${uid}:${gid}`]))
  expectSuccess(await upload('r1'))
  expect(ownersIn(join(site.target, served))).toEqual(owned())
  site.write({ 'index.html': 'two', 'new/folder/page.html': 'new' })
  mkdirSync(join(site.source, 'new/empty'))
  expectSuccess(await upload('r2'))
  expect(ownersIn(join(site.target, served))).toEqual(owned())
  const { uid: ofState, gid: groupOfState } = lstatSync(join(site.target, state))
  expect(`${ofState}:${groupOfState}`).toBe(`${process.getuid?.()}:${process.getgid?.()}`)
})
