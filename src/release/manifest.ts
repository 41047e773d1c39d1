import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Failure } from '../failure.ts'
import type { ByteString } from '../ssh/remote-shell.ts'

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

/** What a release consists of, by path, in the order of the paths' bytes. */
export type Manifest = ReadonlyMap<ByteString, Entry>

const RECORDS_AT_ONCE = 1000
const HEADER = 'evenkeel manifest 1'
const TYPES = { f: 'file', d: 'folder', l: 'link' } as const

export function makeManifest(entries: Iterable<Entry>): Manifest {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
  return new Map(sorted.map((entry) => [entry.path, entry]))
}

/** The manifest as it lies on the server: NUL-ended records, gzipped. */
export function encodeManifest(manifest: Manifest): Buffer {
  return gzipSync(Buffer.concat([...records(manifest)]), { level: 1 })
}

/** Identity of a release's content: what the site itself consists of, without what was kept from earlier ones. */
export function contentId(manifest: Manifest): string {
  const own = [...manifest.values()].filter((entry) => entry.kept === undefined)
  const hash = createHash('sha256')
  for (const chunk of records(makeManifest(own))) hash.update(chunk)
  return hash.digest('hex')
}

/** In chunks: as one text, a large site would be in memory several times. */
function* records(manifest: Manifest): Generator<Buffer> {
  let parts: string[] = [HEADER]
  const chunk = () => Buffer.from(`${parts.join('\0')}\0`, 'latin1')
  for (const entry of manifest.values()) {
    if (parts.length >= RECORDS_AT_ONCE) {
      yield chunk()
      parts = []
    }
    const kept = entry.kept ?? 0
    switch (entry.type) {
      case 'file':
        parts.push(`f ${entry.mode.toString(8)} ${entry.size} ${entry.hash} ${kept} ${entry.path}`)
        break
      case 'folder':
        parts.push(`d ${entry.mode.toString(8)} 0 - ${kept} ${entry.path}`)
        break
      case 'link':
        parts.push(`l 777 0 - ${kept} ${entry.path}`, entry.to)
    }
  }
  if (parts.length > 0) yield chunk()
}

/** Reads a stored manifest. It comes from a server: every path is checked before anything is done with it. */
export function decodeManifest(stored: Buffer): Manifest {
  const fields = gunzipSync(stored, { maxOutputLength: 512 * 1024 * 1024 })
    .toString('latin1')
    .split('\0')
  const bad = (what: string) =>
    new Failure('the stored manifest of the release before cannot be read', {
      seen: what,
      hint: 'remove its folder below releases/.evenkeel/meta on the server: the next upload then sends everything',
    })
  if (fields[0] !== HEADER) throw bad('an unknown header')
  const entries: Entry[] = []
  for (let at = 1; at < fields.length - 1; at++) {
    const match = /^([fdl]) ([0-7]{1,4}) (\d{1,16}) ([0-9a-f]{32}|-) (\d{1,12}) ([\s\S]+)$/.exec(
      fields[at] ?? '',
    )
    const [, letter, mode, size, hash, kept, path] = match ?? []
    if (path === undefined || !isInsidePath(path)) throw bad(`record ${at}`)
    const common = { path, ...(Number(kept) > 0 ? { kept: Number(kept) } : {}) }
    const type = TYPES[letter as keyof typeof TYPES]
    if (type === 'link') entries.push({ ...common, type, to: fields[++at] ?? '' })
    else if (type === 'folder') entries.push({ ...common, type, mode: Number.parseInt(mode ?? '', 8) })
    else
      entries.push({
        ...common,
        type,
        mode: Number.parseInt(mode ?? '', 8),
        size: Number(size),
        hash: hash ?? '',
      })
  }
  return makeManifest(entries)
}

/** Whether a path names something below the folder it is relative to, in its only spelling. */
export function isInsidePath(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}
