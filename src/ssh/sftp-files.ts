import type { ByteString } from './byte-string.ts'
import { type FileStatus, SFTP_CHUNK, type Sftp } from './sftp.ts'
import { OpenFlags, Status } from './sftp-packets.ts'
import { SftpError } from './sftp-session.ts'

/** Files and folders that are worked on at once; each takes a few requests that wait for each other. */
const WIDTH = 64

export const isMissing = (error: unknown) => error instanceof SftpError && error.code === Status.noSuchFile

/** Resolves with undefined where what was asked for is not there. */
export async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Works on all items, some at once. After a failure no further one is begun, and those begun are waited for. */
export async function inParallel<T>(
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
  width = WIDTH,
): Promise<void> {
  const left = items[Symbol.iterator]()
  let failed: { error: unknown } | undefined
  const one = async () => {
    for (let next = left.next(); !next.done && failed === undefined; next = left.next()) {
      try {
        await work(next.value)
      } catch (error) {
        failed ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: width }, one))
  if (failed !== undefined) throw failed.error
}

/** A file's content, piece by piece, some of them asked for ahead. */
export async function* readPieces(sftp: Sftp, path: ByteString): AsyncGenerator<Buffer> {
  const handle = await sftp.open(path, OpenFlags.read)
  try {
    const asked: { at: number; answer: Promise<Buffer | undefined> }[] = []
    let ahead = 0
    // Most files are small: more at once where a whole piece has come.
    let most = 1
    for (;;) {
      while (asked.length < most) {
        const answer = sftp.read(handle, ahead, SFTP_CHUNK)
        answer.catch(() => {})
        asked.push({ at: ahead, answer })
        ahead += SFTP_CHUNK
      }
      const { at, answer } = asked.shift() as (typeof asked)[number]
      const piece = await answer
      if (piece === undefined) return
      yield piece
      most = piece.length === SFTP_CHUNK ? 16 : 1
      if (piece.length === SFTP_CHUNK) continue
      // A short answer is not the end: go on right after it.
      asked.length = 0
      ahead = at + piece.length
    }
  } finally {
    await sftp.closeHandle(handle)
  }
}

export async function readFile(sftp: Sftp, path: ByteString): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of readPieces(sftp, path)) pieces.push(piece)
  return Buffer.concat(pieces)
}

/**
 * Writes a new file (or over an old one) and gives it its mode and time. What `before` throws, called ahead of each
 * request, ends it.
 */
export async function writeFile(
  sftp: Sftp,
  path: ByteString,
  content: Buffer | AsyncIterable<Buffer>,
  { mode = 0o600, mtime, before }: { mode?: number; mtime?: number; before?: () => void } = {},
): Promise<void> {
  before?.()
  const handle = await sftp.open(path, OpenFlags.write | OpenFlags.create | OpenFlags.truncate)
  let first: { error: unknown } | undefined
  const sent: Promise<void>[] = []
  const note = (request: Promise<void>) =>
    sent.push(
      request.catch((error: unknown) => {
        first ??= { error }
      }),
    )
  try {
    let at = 0
    for await (const piece of Buffer.isBuffer(content) ? [content] : content) {
      for (let from = 0; from < piece.length; from += SFTP_CHUNK) {
        await sftp.whenRoom()
        before?.()
        const data = piece.subarray(from, from + SFTP_CHUNK)
        note(sftp.write(handle, at, data))
        at += data.length
      }
      if (first !== undefined) break
    }
    before?.()
    note(sftp.fsetstat(handle, { mode, ...(mtime === undefined ? {} : { mtime }) }))
  } finally {
    // Sent before the answers to the writes have come, which they follow.
    note(sftp.closeHandle(handle))
    await Promise.all(sent)
  }
  if (first !== undefined) throw first.error
}

/** Everything below a folder by its relative path, without what `skip` names; folders before what lies in them. */
export async function listTree(
  sftp: Sftp,
  root: ByteString,
  skip: (path: ByteString) => boolean = () => false,
): Promise<Map<ByteString, FileStatus>> {
  const found = new Map<ByteString, FileStatus>()
  let folders: ByteString[] = ['']
  while (folders.length > 0) {
    const next: ByteString[] = []
    await inParallel(folders, async (folder) => {
      for (const { name, ...status } of await sftp.readdir(folder === '' ? root : `${root}/${folder}`)) {
        const path = folder === '' ? name : `${folder}/${name}`
        if (skip(path)) continue
        found.set(path, status)
        if (status.kind === 'folder') next.push(path)
      }
    })
    folders = next
  }
  return found
}

/** Removes a file or a folder with all that it holds; nothing where there is none. Never follows a link. */
export async function removeTree(sftp: Sftp, path: ByteString): Promise<void> {
  const top = await ifThere(sftp.lstat(path))
  if (top === undefined) return
  if (top.kind !== 'folder') return void (await ifThere(sftp.remove(path)))
  const entries = [...(await listTree(sftp, path))]
  const files = entries.filter(([, { kind }]) => kind !== 'folder')
  await inParallel(files, async ([name]) => void (await ifThere(sftp.remove(`${path}/${name}`))), 256)
  const folders = entries.filter(([, { kind }]) => kind === 'folder').map(([name]) => name)
  await inLevels(folders, (name) => sftp.rmdir(`${path}/${name}`), 'deepest first')
  await sftp.rmdir(path)
}

/** Works on folders level by level, so that none is begun before those that it lies in (or that lie in it) are done. */
export async function inLevels(
  folders: readonly ByteString[],
  work: (folder: ByteString) => Promise<void>,
  order: 'top first' | 'deepest first',
): Promise<void> {
  const levels = new Map<number, ByteString[]>()
  for (const folder of folders) {
    const depth = folder.split('/').length
    levels.set(depth, [...(levels.get(depth) ?? []), folder])
  }
  const sorted = [...levels].sort(([a], [b]) => (order === 'top first' ? a - b : b - a))
  for (const [, level] of sorted) await inParallel(level, work, 256)
}

/** A folder and those that it lies in, where they are missing. */
export async function makeFolders(sftp: Sftp, path: ByteString, mode: number): Promise<void> {
  const parts = path.split('/').filter((part) => part !== '')
  const all = parts.map((_, at) => `/${parts.slice(0, at + 1).join('/')}`)
  const there = await Promise.all(all.map((folder) => ifThere(sftp.stat(folder))))
  for (const [at, folder] of all.entries()) {
    if (there[at] === undefined) await makeFolder(sftp, folder, mode)
  }
}

/** A folder, which may be there already. The protocol knows no answer of its own for that. */
export async function makeFolder(sftp: Sftp, path: ByteString, mode: number): Promise<void> {
  try {
    await sftp.mkdir(path, mode)
  } catch (error) {
    const there = await sftp.stat(path).catch(() => undefined)
    if (there?.kind !== 'folder') throw error
  }
}

/** A second name for a file, or a copy where the server makes no links. Nothing may be there yet. */
export async function linkOrCopy(
  sftp: Sftp,
  from: ByteString,
  to: ByteString,
  status: { mode: number; mtime: number },
): Promise<'linked' | 'copied' | 'sent again'> {
  if (sftp.extensions.has('hardlink@openssh.com')) {
    try {
      await sftp.hardlink(from, to)
      return 'linked'
    } catch (error) {
      // Another file system, or one without links: its `FAILURE` says no more.
      if (!(error instanceof SftpError) || isMissing(error)) throw error
    }
  }
  if (!sftp.extensions.has('copy-data')) {
    await writeFile(sftp, to, readPieces(sftp, from), status)
    return 'sent again'
  }
  const source = await sftp.open(from, OpenFlags.read)
  try {
    const copy = await sftp.open(to, OpenFlags.write | OpenFlags.create | OpenFlags.truncate)
    try {
      await sftp.copyData(source, copy)
      await sftp.fsetstat(copy, status)
    } finally {
      await sftp.closeHandle(copy)
    }
  } finally {
    await sftp.closeHandle(source)
  }
  return 'copied'
}
