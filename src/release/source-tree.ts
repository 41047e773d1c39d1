import { createHash } from 'node:crypto'
import {
  createReadStream,
  type Dirent,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
} from 'node:fs'
import { setImmediate as letOthersRun } from 'node:timers/promises'
import { throwIfCancelled } from '../context.ts'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/remote-shell.ts'
import { effectiveMode, type ModeChange } from './file-mode.ts'
import { type Entry, type FileEntry, type LinkEntry, type Manifest, makeManifest } from './manifest.ts'

export interface ScanOptions {
  /** Absolute path of the folder. */
  readonly folder: string
  readonly exclude: (path: ByteString) => boolean
  readonly modeChange: ModeChange | undefined
}

/** The built site on this machine. */
export interface SourceTree {
  readonly manifest: Manifest
  /** Mode of the folder itself. */
  readonly rootMode: number
  readonly files: number
  readonly bytes: number
  /** A file's content as it was hashed; throws when it is not the same any more. */
  read(entry: FileEntry): AsyncIterable<Buffer>
}

/** Small files are kept from hashing to sending, up to this many bytes in all. */
const KEEP_BYTES = 8 * 1024 * 1024
const SMALL_FILE = 1024 * 1024
/** Files are read synchronously, which is the fastest by far for small ones; others run after this many ms. */
const SLICE_MS = 10

/** Reads and hashes a folder. Names are taken as bytes, whatever they hold. */
export async function scanSource(options: ScanOptions, signal: AbortSignal): Promise<SourceTree> {
  const root = Buffer.from(options.folder)
  const scan = new Scan(root, options)
  scan.walk('', 0)
  const contents = new Map<ByteString, Buffer>()
  const hashed: Entry[] = []
  let bytes = 0
  let files = 0
  let sliceEnd = performance.now() + SLICE_MS
  for (const entry of scan.found) {
    if (entry.type === 'file') {
      const { size, hash, content } = await hashFile(root, entry)
      if (content !== undefined && bytes + size <= KEEP_BYTES) contents.set(entry.path, content)
      bytes += size
      hashed.push({ ...entry, size, hash })
    } else hashed.push(entry)
    if (entry.type !== 'folder') files++
    if (performance.now() < sliceEnd) continue
    throwIfCancelled(signal)
    await letOthersRun()
    sliceEnd = performance.now() + SLICE_MS
  }
  if (files === 0) {
    throw new Failure('the source folder holds no files', {
      seen: options.folder,
      state: 'nothing was changed.',
      hint: 'check that the build ran before this step, and the globs of `exclude`',
    })
  }
  return {
    manifest: makeManifest(hashed),
    rootMode: effectiveMode(lstatSync(root).mode, true, options.modeChange),
    files,
    bytes,
    read(entry) {
      const content = contents.get(entry.path)
      return content === undefined ? readAgain(root, entry) : once(content)
    },
  }
}

class Scan {
  readonly found: Entry[] = []
  readonly #root: Buffer
  readonly #realRoot: Buffer
  readonly #options: ScanOptions

  constructor(root: Buffer, options: ScanOptions) {
    this.#root = root
    this.#realRoot = realpathSync.native(root, 'buffer')
    this.#options = options
  }

  walk(folder: ByteString, depth: number): void {
    if (depth > 500) throw bad(folder, 'lies more than 500 folders deep')
    const names = readdirSync(locate(this.#root, folder), {
      encoding: 'buffer',
      withFileTypes: true,
    }) as unknown as Dirent<Buffer>[]
    for (const dirent of names) {
      const name = dirent.name.toString('latin1')
      const path = folder === '' ? name : `${folder}/${name}`
      if (this.#options.exclude(path)) continue
      const stat = lstatSync(locate(this.#root, path))
      const mode = effectiveMode(stat.mode, stat.isDirectory(), this.#options.modeChange)
      if (stat.isDirectory()) {
        this.found.push({ type: 'folder', path, mode })
        this.walk(path, depth + 1)
      } else if (stat.isFile()) this.found.push({ type: 'file', path, mode, size: stat.size, hash: '' })
      else if (stat.isSymbolicLink()) this.found.push(this.#link(path))
      else throw bad(path, 'is neither a file, a folder nor a symbolic link')
    }
  }

  /** A link is kept as a link where it means the same on the server: relative, and inside the folder. */
  #link(path: ByteString): LinkEntry {
    const full = locate(this.#root, path)
    const to = readlinkSync(full, 'buffer').toString('latin1')
    if (to.startsWith('/')) throw bad(path, `is a symbolic link to an absolute path (${fromByteString(to)})`)
    if (leaves(path, to) || this.#reallyLeaves(full)) {
      throw bad(path, `is a symbolic link that leaves the folder (${fromByteString(to)})`)
    }
    return { type: 'link', path, to }
  }

  /** Follows the link through other links, where what it names exists. */
  #reallyLeaves(full: Buffer): boolean {
    try {
      const real = realpathSync.native(full, 'buffer').toString('latin1')
      const root = this.#realRoot.toString('latin1')
      return real !== root && !real.startsWith(root === '/' ? '/' : `${root}/`)
    } catch (error) {
      if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
      throw error
    }
  }
}

/** By the letters alone, which also holds for a link to something that does not exist. */
function leaves(path: ByteString, to: ByteString): boolean {
  let depth = path.split('/').length - 1
  for (const part of to.split('/')) {
    if (part === '..') depth--
    else if (part !== '' && part !== '.') depth++
    if (depth < 0) return true
  }
  return false
}

function bad(path: ByteString, what: string): Failure {
  return new Failure(`in the source folder, '${fromByteString(path)}' ${what}`, {
    state: 'nothing was changed.',
    hint: 'remove it, copy what it stands for, or name it in `exclude`',
  })
}

function locate(root: Buffer, path: ByteString): Buffer {
  return path === '' ? root : Buffer.concat([root, Buffer.from(`/${path}`, 'latin1')])
}

async function hashFile(
  root: Buffer,
  entry: FileEntry,
): Promise<{ size: number; hash: string; content: Buffer | undefined }> {
  const hash = createHash('sha256')
  const digest = () => hash.digest().toString('hex', 0, 16)
  if (entry.size <= SMALL_FILE) {
    const content = readFileSync(locate(root, entry.path))
    hash.update(content)
    return { size: content.length, hash: digest(), content }
  }
  let size = 0
  for await (const chunk of createReadStream(locate(root, entry.path), { highWaterMark: SMALL_FILE })) {
    hash.update(chunk as Buffer)
    size += (chunk as Buffer).length
  }
  return { size, hash: digest(), content: undefined }
}

async function* once(content: Buffer): AsyncIterable<Buffer> {
  yield content
}

/** The server verifies the content; the size must be right already, or the archive would be torn. */
async function* readAgain(root: Buffer, entry: FileEntry): AsyncIterable<Buffer> {
  const file = locate(root, entry.path)
  let left = entry.size
  if (entry.size <= SMALL_FILE) {
    const content = readFileSync(file)
    left -= content.length
    if (left === 0) yield content
  } else {
    for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
      left -= (chunk as Buffer).length
      if (left < 0) break
      yield chunk as Buffer
    }
  }
  if (left !== 0) {
    throw new Failure(`'${fromByteString(entry.path)}' changed while it was uploaded`, {
      state: 'the site on the server is as it was.',
      hint: 'let the build come to its end before this step',
    })
  }
}
