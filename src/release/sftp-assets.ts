import type { ByteString } from '../ssh/byte-string.ts'
import type { FileStatus } from '../ssh/sftp.ts'
import { ifThere, inParallel, linkOrCopy, makeFolder, readFile } from '../ssh/sftp-files.ts'
import { SftpError } from '../ssh/sftp-session.ts'
import { isInsidePath } from './manifest.ts'
import type { SftpDesk } from './sftp-desk.ts'
import { foldersOf } from './sftp-tree.ts'
import { pathsIn } from './site-state.ts'

/**
 * What `keep-assets` picked of the release that goes stays reachable in an older one that comes back, as assets-code.ts
 * does it. What cannot be kept is said in the log: it is no reason not to go back.
 */
export async function keepReachable(
  desk: SftpDesk,
  from: string | undefined,
  to: string | undefined,
): Promise<void> {
  if (from === undefined || to === undefined || from === to) return
  const { root, state, sftp, log } = desk
  const source = `${root}/releases/${from}`
  const target = `${root}/releases/${to}`
  try {
    const missing: { path: ByteString; status: FileStatus }[] = []
    await inParallel(await readAssets(desk, from), async (path) => {
      if (!isInsidePath(path) || (await ifThere(sftp.lstat(`${target}/${path}`))) !== undefined) return
      const status = await ifThere(sftp.lstat(`${source}/${path}`))
      if (status?.kind === 'file') missing.push({ path, status })
    })
    if (missing.length === 0) return
    // One that goes in its turn hands them on.
    const all = [...(await readAssets(desk, to)), ...missing.map(({ path }) => path)]
    await desk.commit(`${state}/meta/${to}/assets`, all.map((path) => `./${path}\0`).join(''))
    await desk.commit(`${state}/meta/${to}/altered`, '')
    await inParallel(missing, async ({ path, status }) => {
      if (!(await makeWay(desk, target, path))) return
      desk.guard()
      await linkOrCopy(sftp, `${source}/${path}`, `${target}/${path}`, status)
    })
  } catch (error) {
    if (!(error instanceof SftpError)) throw error
    log.warn(`not all assets that \`keep-assets\` picks could be kept reachable: ${error.message}`)
  }
}

/** What `keep-assets` picked of a release, and of those that were gone back from to it. */
export async function readAssets({ sftp, state }: SftpDesk, release: string): Promise<Set<ByteString>> {
  const list = await ifThere(readFile(sftp, `${state}/meta/${release}/assets`))
  return new Set(list === undefined ? [] : pathsIn(list))
}

/** Makes the folders above a path; false where a link is among them, which may lead anywhere. */
async function makeWay(desk: SftpDesk, target: ByteString, path: ByteString): Promise<boolean> {
  for (const folder of foldersOf(path)) {
    const there = await ifThere(desk.sftp.lstat(`${target}/${folder}`))
    if (there === undefined) {
      desk.guard()
      await makeFolder(desk.sftp, `${target}/${folder}`, 0o755)
    } else if (there.kind !== 'folder') return false
  }
  return true
}
