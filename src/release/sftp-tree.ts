import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/byte-string.ts'
import { type FileStatus, SFTP_CHUNK } from '../ssh/sftp.ts'
import {
  inLevels,
  inParallel,
  isMissing,
  linkOrCopy,
  listTree,
  makeFolder,
  writeFile,
} from '../ssh/sftp-files.ts'
import { SftpError } from '../ssh/sftp-session.ts'
import {
  type Entry,
  encodeManifest,
  type FileEntry,
  type FolderEntry,
  type Manifest,
  makeManifest,
  type UnhashedEntry,
} from './manifest.ts'
import { trackProgress } from './progress.ts'
import type { SftpDesk } from './sftp-desk.ts'
import type { SourceTree } from './source-tree.ts'

/** Files that are on their way at once: each waits for its handle before anything of it is sent. */
const FILES_AT_ONCE = 64
/** Less is left than a file with its folder may take. */
const FULL_BYTES = 256 * 1024
const FULL_FILES = 2

/** What a folder on the server is to become. */
export interface TreePlan {
  /** The staging folder: gets `tree/`, and `manifest.gz` that says what it will be. */
  readonly stage: ByteString
  /** All that is to lie there in the end. */
  readonly result: Manifest
  /** What lies there already, whole. */
  readonly arrived: Manifest
  /** A folder with files of the same content, for those that need not travel; undefined where there is none. */
  readonly base: { readonly folder: ByteString; readonly manifest: Manifest } | undefined
  readonly tree: SourceTree
  /** Time of every file sent, in Unix seconds. */
  readonly mtime: number
}

export interface TreeResult {
  readonly bytesOnWire: number
  readonly filesSent: number
  readonly linked: number
  readonly copied: number
}

/**
 * What an earlier attempt brought whole: a file gets the time of its upload last of all, so one that has it, and its
 * size, has all its bytes. The list that came before the files says what those are.
 */
export async function readArrived(desk: SftpDesk, stage: ByteString): Promise<Manifest> {
  const list = `${stage}/manifest.gz`
  const planned = await desk.manifest(list).catch(() => undefined)
  if (planned === undefined) return makeManifest()
  const { mtime } = await desk.sftp.lstat(list)
  const listed = await listTree(desk.sftp, `${stage}/tree`)
  return makeManifest(
    [...planned.values()].filter((entry) => {
      const there = listed.get(entry.path)
      if (entry.type !== 'file' || there?.kind !== 'file') return false
      return there.size === entry.size && there.mode === entry.mode && there.mtime === mtime
    }),
  )
}

/** Makes the tree of a staging folder: links what is there, sends the rest. Verified separately. */
export async function buildTree(desk: SftpDesk, plan: TreePlan, context: Context): Promise<TreeResult> {
  const { sftp } = desk
  const { stage, result, tree, mtime } = plan
  const root = `${stage}/tree`
  const arrived = makeManifest(sameFiles(plan.arrived, result))
  await clearTree(desk, root, arrived)
  // They are to be known again should this attempt break off too.
  await inParallel(arrived.keys(), (path) => sftp.setstat(`${root}/${path}`, { mtime }), 256)
  await writeFile(sftp, `${stage}/manifest.gz`, encodeManifest(result), { mtime, before: desk.guard })

  const folders = [...result.ofType('folder')]
  await inLevels(
    folders.map(({ path }) => path),
    async (path) => {
      desk.guard()
      await makeFolder(sftp, `${root}/${path}`, 0o700)
    },
    'top first',
  )
  const { left, bytes, linked, copied } = await takeFromBase(desk, plan, arrived, context)
  const sent = await sendFiles(desk, { root, paths: left, bytes, result, tree, mtime }, context)
  await inParallel(result.ofType('link'), (entry) => makeLink(desk, `${root}/${entry.path}`, entry.to), 256)
  await inLevels(
    folders.map(({ path }) => path),
    (path) => sftp.setstat(`${root}/${path}`, { mode: (result.get(path) as FolderEntry).mode }),
    'deepest first',
  )
  return { bytesOnWire: sent, filesSent: left.length, linked, copied }
}

function* sameFiles(arrived: Manifest, result: Manifest): Generator<FileEntry> {
  for (const entry of arrived.ofType('file')) if (isSameFile(result.get(entry.path), entry)) yield entry
}

function isSameFile(a: Entry | undefined, b: Entry): boolean {
  return (
    a?.type === 'file' && b.type === 'file' && a.hash === b.hash && a.size === b.size && a.mode === b.mode
  )
}

/** Removes what is not known to be whole. */
async function clearTree(desk: SftpDesk, root: ByteString, keep: Manifest): Promise<void> {
  const listed = [...(await listTree(desk.sftp, root))]
  const needed = new Set([...keep.keys()].flatMap(foldersOf))
  const gone = listed.filter(([path, { kind }]) => kind !== 'folder' && !keep.has(path))
  await inParallel(
    gone,
    ([path]) => {
      desk.guard()
      return desk.sftp.remove(`${root}/${path}`)
    },
    256,
  )
  const folders = listed.filter(([path, { kind }]) => kind === 'folder' && !needed.has(path))
  await inLevels(
    folders.map(([path]) => path),
    (path) => {
      desk.guard()
      return desk.sftp.rmdir(`${root}/${path}`)
    },
    'deepest first',
  )
}

/** `a/b/c` -> `a`, `a/b` */
export function foldersOf(path: ByteString): ByteString[] {
  const parts = path.split('/')
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join('/'))
}

interface Taken {
  /** Paths of the files that must travel; all that is known of a hundred thousand would take too much memory. */
  readonly left: readonly ByteString[]
  readonly bytes: number
  readonly linked: number
  readonly copied: number
}

/** Second names for what the release before has too. */
async function takeFromBase(
  desk: SftpDesk,
  { stage, base, mtime, tree, result }: TreePlan,
  arrived: Manifest,
  { signal }: Context,
): Promise<Taken> {
  const { sftp } = desk
  const left: ByteString[] = []
  let bytes = 0
  const leave = ({ path, size }: FileEntry) => {
    left.push(path)
    bytes += size
  }
  let linked = 0
  let copied = 0
  const atHand = sftp.extensions.has('hardlink@openssh.com') || sftp.extensions.has('copy-data')
  await inParallel(
    result.ofType('file'),
    async (entry) => {
      if (arrived.has(entry.path)) return
      const isOurs = tree.manifest.has(entry.path)
      if (base === undefined || !isSameFile(base.manifest.get(entry.path), entry) || (!atHand && isOurs)) {
        leave(entry)
        return
      }
      signal.throwIfAborted()
      desk.guard()
      const from = `${base.folder}/${entry.path}`
      try {
        const how = await linkOrCopy(sftp, from, `${stage}/tree/${entry.path}`, { mode: entry.mode, mtime })
        if (how === 'linked') linked++
        else copied++
      } catch (error) {
        // Removed by hand since: it travels again.
        if (!isMissing(error) || !isOurs) throw error
        leave(entry)
      }
    },
    256,
  )
  if (copied > 0) desk.log.info('the server makes no hard links through SFTP: unchanged files were copied')
  if (!atHand && base !== undefined) {
    desk.log.info('the server neither links nor copies files through SFTP: unchanged ones are sent again')
  }
  return { left, bytes, linked, copied }
}

interface Sending extends Pick<TreePlan, 'result' | 'tree' | 'mtime'> {
  readonly root: ByteString
  readonly paths: readonly ByteString[]
  readonly bytes: number
}

async function sendFiles(
  desk: SftpDesk,
  { root, paths, bytes, result, tree, mtime }: Sending,
  context: Context,
): Promise<number> {
  const { signal } = context
  const progress = trackProgress({ files: paths.length, bytes }, context)
  async function* counted(entry: FileEntry): AsyncGenerator<Buffer> {
    for (const piece of tree.read(entry)) {
      // Counted bit by bit: on a slow link many large pieces are on their way for long.
      for (let from = 0; from < piece.length; from += SFTP_CHUNK) {
        signal.throwIfAborted()
        const part = piece.subarray(from, from + SFTP_CHUNK)
        yield part
        progress.sent(part.length)
        progress.onWire(part.length)
      }
    }
  }
  try {
    await inParallel(
      paths,
      async (path) => {
        const entry = result.get(path) as FileEntry
        signal.throwIfAborted()
        const to = { mode: entry.mode, mtime, before: desk.guard }
        await writeFile(desk.sftp, `${root}/${path}`, counted(entry), to)
        progress.fileSent()
      },
      FILES_AT_ONCE,
    )
    return progress.bytesOnWire
  } catch (error) {
    throw await explained(desk, error)
  } finally {
    progress.end()
  }
}

/** The protocol has no answer of its own for a full disk, which is what a failed write most often means. */
async function explained(desk: SftpDesk, error: unknown): Promise<unknown> {
  if (!(error instanceof SftpError)) return error
  const free = await desk.sftp.freeSpace(desk.state).catch(() => undefined)
  if (free === undefined || (free.bytes >= FULL_BYTES && free.files >= FULL_FILES)) return error
  return new Failure('there is no space left on the server', {
    host: desk.sftp.host,
    seen: `${error.message}: ${error.details.seen}; ${free.bytes} bytes and ${free.files} files free`,
    hint: 'free some space there, or keep fewer releases (`keep-releases`)',
    cause: error,
  })
}

/** Not every server takes the two paths in the same order: what came of it is read. */
export async function makeLink(desk: SftpDesk, path: ByteString, to: ByteString): Promise<void> {
  desk.guard()
  await desk.sftp.symlink(to, path)
  const read = await desk.sftp.readlink(path)
  if (read === to) return
  throw new Failure(`the server made a symbolic link to '${fromByteString(read)}' instead`, {
    host: desk.sftp.host,
    seen: `asked for: ${fromByteString(path)} -> ${fromByteString(to)}`,
    hint: 'use a server that follows OpenSSH in this, or a login with a shell',
  })
}

/** Throws unless exactly what the manifest says lies there, by kinds and sizes. */
export async function checkTree(desk: SftpDesk, root: ByteString, result: Manifest): Promise<void> {
  const listed = await listTree(desk.sftp, root)
  const path = firstWrong(result, listed)
  if (path === undefined) return
  const there = listed.get(path)
  const is = there === undefined ? 'is missing' : `is a ${there.kind} of ${there.size} bytes`
  throw new Failure('what arrived is not what was sent', {
    host: desk.sftp.host,
    seen: `'${fromByteString(path)}' ${is}`,
    hint: 'run the job again; nothing was activated',
  })
}

function firstWrong(result: Manifest, listed: ReadonlyMap<ByteString, FileStatus>): ByteString | undefined {
  for (const entry of result.unhashed()) if (!fits(entry, listed.get(entry.path))) return entry.path
  for (const path of listed.keys()) if (!result.has(path)) return path
  return undefined
}

function fits(entry: UnhashedEntry, there: FileStatus | undefined): boolean {
  return there?.kind === entry.type && (entry.type !== 'file' || there.size === entry.size)
}

/** Reads the files back and throws where one is not what was sent. */
export async function checkContents(
  desk: SftpDesk,
  root: ByteString,
  files: Iterable<FileEntry>,
): Promise<void> {
  await inParallel(files, async ({ path, hash }) => {
    if ((await desk.hash(`${root}/${path}`)) === hash) return
    throw new Failure('the content that arrived is not the content that was sent', {
      host: desk.sftp.host,
      seen: fromByteString(path),
      hint: 'run the job again; nothing was activated',
    })
  })
}
