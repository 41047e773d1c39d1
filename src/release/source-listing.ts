import { lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs'
import { Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/byte-string.ts'
import { effectiveMode, type ModeChange } from './file-mode.ts'
import type { Entry, LinkEntry } from './manifest.ts'

export interface ListingOptions {
  readonly exclude: (path: ByteString) => boolean
  readonly modeChange: ModeChange | undefined
}

/** What lies in a folder and may be uploaded; throws where something may not. Nothing is read of the files yet. */
export class Listing {
  readonly #root: ByteString
  readonly #realRoot: ByteString
  readonly #options: ListingOptions

  constructor(root: ByteString, options: ListingOptions) {
    this.#root = root
    this.#realRoot = realpathSync.native(locate(root, ''), 'latin1')
    this.#options = options
  }

  /** In the order of the paths' bytes: what lies in a folder comes where its path with the slash belongs. */
  *entries(folder: ByteString, depth: number): Generator<Entry> {
    if (depth > 500) throw bad(folder, 'lies more than 500 folders deep')
    const listed: ByteString[] = readdirSync(locate(this.#root, folder), { encoding: 'latin1' })
    const folders = new Set<string>()
    // A folder's name with a slash stands for what lies in it; it is known to be one when its own name has come.
    const order = [...listed, ...listed.map((name) => `${name}/`)].sort(byBytes)
    for (const name of order) {
      const isInside = name.endsWith('/')
      if (isInside && !folders.has(name)) continue
      const path = folder === '' ? name : `${folder}/${name}`
      if (isInside) {
        yield* this.entries(path.slice(0, -1), depth + 1)
        continue
      }
      if (this.#options.exclude(path)) continue
      const entry = this.#entry(path)
      if (entry.type === 'folder') folders.add(`${name}/`)
      yield entry
    }
  }

  #entry(path: ByteString): Entry {
    const stat = lstatSync(locate(this.#root, path))
    const mode = effectiveMode(stat.mode, stat.isDirectory(), this.#options.modeChange)
    if (stat.isDirectory()) return { type: 'folder', path, mode }
    if (stat.isFile()) return { type: 'file', path, mode, size: stat.size, hash: '' }
    if (stat.isSymbolicLink()) return this.#link(path)
    throw bad(path, 'is neither a file, a folder nor a symbolic link')
  }

  /** A link is kept as a link where it means the same on the server: relative, and inside the folder. */
  #link(path: ByteString): LinkEntry {
    const full = locate(this.#root, path)
    const to = readlinkSync(full, 'latin1')
    if (to.startsWith('/')) throw bad(path, `is a symbolic link to an absolute path (${fromByteString(to)})`)
    if (leaves(path, to) || this.#reallyLeaves(full)) {
      throw bad(path, `is a symbolic link that leaves the folder (${fromByteString(to)})`)
    }
    return { type: 'link', path, to }
  }

  /** Follows the link through other links, where what it names exists. */
  #reallyLeaves(full: string | Buffer): boolean {
    try {
      const real = realpathSync.native(full, 'latin1')
      const root = this.#realRoot
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

/** A path below a folder, for node:fs: as text where that is the same, which it mostly is and which is faster. */
export function locate(root: ByteString, path: ByteString): string | Buffer {
  const whole = path === '' ? root : `${root}/${path}`
  return /[\x80-\xff]/.test(whole) ? Buffer.from(whole, 'latin1') : whole
}

const byBytes = (a: ByteString, b: ByteString) => (a < b ? -1 : a > b ? 1 : 0)
