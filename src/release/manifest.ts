import { hash as digestOf } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describeError, Failure } from '../failure.ts'
import type { ByteString } from '../ssh/byte-string.ts'
import { ManifestBuilder } from './packed-manifest.ts'

interface AnyEntry {
  /** Relative, `/` between the parts, no `.` or `..` among them; a byte string. */
  readonly path: ByteString
  /** Unix seconds since when the site itself no longer has it, for what `keep-assets` keeps. */
  readonly kept?: number
}

export interface FileEntry extends AnyEntry {
  readonly type: 'file'
  /** Permission bits. */
  readonly mode: number
  readonly size: number
  /** First 128 bits of the content's SHA-256, in hex. */
  readonly hash: string
}

export interface FolderEntry extends AnyEntry {
  readonly type: 'folder'
  readonly mode: number
}

export interface LinkEntry extends AnyEntry {
  readonly type: 'link'
  readonly to: ByteString
}

export type Entry = FileEntry | FolderEntry | LinkEntry

/** Without what takes longest to look up. */
export type UnhashedFile = Omit<FileEntry, 'hash'>
export type UnhashedEntry = UnhashedFile | FolderEntry | LinkEntry

/** What a release consists of, by path, in the order of the paths' bytes. */
export interface Manifest {
  readonly size: number
  readonly total: Total
  /** Whether anything is kept from earlier releases. */
  readonly keepsAny: boolean
  get(path: ByteString): Entry | undefined
  has(path: ByteString): boolean
  /** The first file from one place in that order on; behind the last entry the first follows. */
  fileFrom(place: number): FileEntry | undefined
  /** The files' sizes alone, without the rest. */
  sizes(): Iterable<number>
  /** The files' hashes alone. */
  hashes(): Iterable<string>
  keys(): Iterable<ByteString>
  values(): Iterable<Entry>
  unhashed(): Iterable<UnhashedEntry>
  ofType<T extends Entry['type']>(type: T): Iterable<Extract<Entry, { type: T }>>
}

/** Number of files, and of their bytes. */
export interface Total {
  readonly files: number
  readonly bytes: number
}

const TEXTS_AT_ONCE = 1000
const HEADER = 'evenkeel manifest 1'
const TYPES = { f: 'file', d: 'folder', l: 'link' } as const

/** Of entries in any order; of two with one path the later counts. */
export function makeManifest(entries: Iterable<Entry> = []): Manifest {
  const builder = new ManifestBuilder()
  for (const entry of entries) builder.add(entry)
  return builder.finish()
}

/** The manifest as it lies on the server: NUL-ended records, gzipped. */
export function encodeManifest(manifest: Manifest): Buffer {
  return stored(manifest).gzipped
}

/** Identity of a release's content: what the site itself consists of, without what was kept from earlier ones. */
export function contentId(manifest: Manifest): string {
  return stored(manifest).id
}

/** Both at once: where nothing is kept from earlier releases they are made of the same records. */
function stored(manifest: Manifest): { readonly gzipped: Buffer; readonly id: string } {
  return once(storedForms, manifest, () => {
    const whole = Buffer.concat([...records(manifest.values())])
    const own = manifest.keepsAny ? Buffer.concat([...records(ownEntries(manifest))]) : whole
    return { gzipped: gzipSync(whole, { level: 1 }), id: digestOf('sha256', own, 'hex') }
  })
}

const storedForms = new WeakMap<Manifest, ReturnType<typeof stored>>()

/** What has been worked out for a manifest is known from then on: several hosts mostly get the same. */
export function once<T>(known: WeakMap<Manifest, T>, manifest: Manifest, make: () => T): T {
  const before = known.get(manifest)
  if (before !== undefined) return before
  const made = make()
  known.set(manifest, made)
  return made
}

function* ownEntries(manifest: Manifest): Generator<Entry> {
  for (const entry of manifest.values()) if (entry.kept === undefined) yield entry
}

const records = (entries: Iterable<Entry>) => joinByNul(fields(entries))

function* fields(entries: Iterable<Entry>): Generator<ByteString> {
  yield HEADER
  for (const entry of entries) {
    const kept = entry.kept ?? 0
    switch (entry.type) {
      case 'file':
        yield `f ${entry.mode.toString(8)} ${entry.size} ${entry.hash} ${kept} ${entry.path}`
        break
      case 'folder':
        yield `d ${entry.mode.toString(8)} 0 - ${kept} ${entry.path}`
        break
      case 'link':
        yield `l 777 0 - ${kept} ${entry.path}`
        yield entry.to
    }
  }
}

/** Something that a person may have to look for. */
export interface OnServer {
  readonly host: string
  readonly path: string
}

/** Reads a stored manifest. It comes from a server: every path is checked before anything is done with it. */
export function decodeManifest(stored: Buffer, { host, path: file }: OnServer): Manifest {
  const bad = (seen: string) =>
    new Failure('the list that the last upload left on the server cannot be read', {
      host,
      seen,
      state: 'the site is as it was.',
      hint: `remove the file ${file} there: the next upload then sends everything`,
    })
  let plain: Buffer
  try {
    plain = gunzipSync(stored, { maxOutputLength: 512 * 1024 * 1024 })
  } catch (error) {
    throw bad(describeError(error))
  }
  const fields = splitAtNul(plain)
  if (fields.next().value !== HEADER) throw bad('an unknown header')
  const builder = new ManifestBuilder()
  let at = 0
  for (const field of fields) {
    at++
    const match = /^([fdl]) ([0-7]{1,4}) (\d{1,16}) ([0-9a-f]{32}|-) (\d{1,12}) ([\s\S]+)$/.exec(field)
    const [, letter, octal = '', size, hash = '', kept, path] = match ?? []
    if (path === undefined || !isInsidePath(path)) throw bad(`record ${at}`)
    const common = { path, ...(Number(kept) > 0 ? { kept: Number(kept) } : {}) }
    const type = TYPES[letter as keyof typeof TYPES]
    const mode = Number.parseInt(octal, 8)
    if (type === 'link') builder.add({ ...common, type, to: fields.next().value ?? '' })
    else if (type === 'folder') builder.add({ ...common, type, mode })
    else builder.add({ ...common, type, mode, size: Number(size), hash })
  }
  return builder.finish()
}

/** Texts, each ended by a NUL, in chunks: as one text, a large site would be in memory several times. */
export function* joinByNul(texts: Iterable<ByteString>): Generator<Buffer> {
  let parts: ByteString[] = []
  const chunk = () => Buffer.from(`${parts.join('\0')}\0`, 'latin1')
  for (const text of texts) {
    if (parts.push(text) < TEXTS_AT_ONCE) continue
    yield chunk()
    parts = []
  }
  if (parts.length > 0) yield chunk()
}

/** The reverse, one by one: all at once, a large site's would take several times its list. */
export function* splitAtNul(list: Buffer): Generator<ByteString, undefined> {
  for (let start = 0; start < list.length; ) {
    const end = list.indexOf(0, start)
    yield list.toString('latin1', start, end < 0 ? list.length : end)
    start = end < 0 ? list.length : end + 1
  }
}

/** Whether a path names something below the folder it is relative to, in its only spelling. */
export function isInsidePath(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}
