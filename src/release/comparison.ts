import type { ByteString } from '../ssh/byte-string.ts'
import { type Entry, type Manifest, makeManifest } from './manifest.ts'
import { ManifestBuilder } from './packed-manifest.ts'

/** How a release comes about from what is on the server already. */
export interface Comparison {
  /** What must travel. */
  readonly send: Manifest
  /** What must go before anything is unpacked: another kind of thing takes its place. */
  readonly replace: readonly ByteString[]
  readonly removeFiles: readonly ByteString[]
  /** Deepest first. */
  readonly removeFolders: readonly ByteString[]
  /** The new release as it will be, with what is kept from earlier ones. */
  readonly result: Manifest
  /** Numbers of files (symbolic links among them). */
  readonly added: number
  readonly changed: number
  readonly removed: number
  readonly unchanged: number
}

/** How long an asset stays after the release that had it was replaced, in seconds. */
const KEEP_SECONDS = 3600

/**
 * Compares by content and mode, never by time. `keep` picks the files that stay reachable although the site no longer
 * has them; `now` is in Unix seconds.
 */
export function compare(
  base: Manifest,
  site: Manifest,
  keep: (path: ByteString) => boolean,
  now: number,
): Comparison {
  if (base.size === 0) return everything(site)
  const send = new ManifestBuilder()
  const missing = new ManifestBuilder()
  const replace = new Set<ByteString>()
  let added = 0
  let changed = 0
  let unchanged = 0
  for (const [before, entry] of sideBySide(base, site)) {
    if (entry === undefined) {
      if (before !== undefined) missing.add(before)
      continue
    }
    if (before !== undefined && before.type !== entry.type) replace.add(entry.path)
    const isSame = before !== undefined && same(before, entry)
    if (!isSame) send.add(entry)
    if (entry.type === 'folder') continue
    if (isSame) unchanged++
    else if (before === undefined) added++
    else changed++
  }
  const isBelowReplaced = (path: ByteString) =>
    replace.size > 0 && ancestors(path).some((above) => replace.has(above))
  const gone = missing.finish()
  const keptPaths = new Set<ByteString>()
  for (const entry of gone.ofType('file')) {
    const { path, kept = now } = entry
    if (now - kept > KEEP_SECONDS || !keep(path) || isBelowReplaced(path)) continue
    for (const one of [path, ...ancestors(path)]) keptPaths.add(one)
  }
  const kept: Entry[] = []
  const removeFiles: ByteString[] = []
  const removeFolders: ByteString[] = []
  for (const entry of gone.values()) {
    if (isBelowReplaced(entry.path)) continue
    if (keptPaths.has(entry.path)) kept.push({ ...entry, ...modeOf(entry), kept: entry.kept ?? now })
    else if (entry.type === 'folder') removeFolders.push(entry.path)
    else removeFiles.push(entry.path)
  }
  return {
    send: send.finish(),
    replace: [...replace],
    removeFiles,
    removeFolders: removeFolders.reverse(),
    result: kept.length === 0 ? site : makeManifest(chain(site.values(), kept)),
    added,
    changed,
    removed: removeFiles.length,
    unchanged,
  }
}

/** Where nothing is there yet. */
function everything(site: Manifest): Comparison {
  let links = 0
  for (const _ of site.ofType('link')) links++
  const none = { replace: [], removeFiles: [], removeFolders: [], changed: 0, removed: 0, unchanged: 0 }
  return { ...none, send: site, result: site, added: site.total.files + links }
}

/** Entries of both by path; undefined where one of them has none. */
function* sideBySide(
  base: Manifest,
  site: Manifest,
): Generator<readonly [before: Entry | undefined, entry: Entry | undefined]> {
  const before = base.values()[Symbol.iterator]()
  const after = site.values()[Symbol.iterator]()
  let a: Entry | undefined = before.next().value
  let b: Entry | undefined = after.next().value
  while (a !== undefined || b !== undefined) {
    const isOnlyBefore = b === undefined || (a !== undefined && a.path < b.path)
    const isOnlyAfter = a === undefined || (b !== undefined && b.path < a.path)
    yield [isOnlyAfter ? undefined : a, isOnlyBefore ? undefined : b]
    if (!isOnlyAfter) a = before.next().value
    if (!isOnlyBefore) b = after.next().value
  }
}

function* chain<T>(...parts: readonly Iterable<T>[]): Generator<T> {
  for (const part of parts) yield* part
}

/** That of a folder may be unknown. */
const modeOf = (entry: Entry) => (entry.type === 'folder' && entry.mode < 0 ? { mode: 0o755 } : {})

function same(a: Entry, b: Entry): boolean {
  if (a.type === 'file' && b.type === 'file')
    return a.hash === b.hash && a.size === b.size && a.mode === b.mode
  if (a.type === 'folder' && b.type === 'folder') return a.mode === b.mode
  return a.type === 'link' && b.type === 'link' && a.to === b.to
}

/** `a/b/c` -> `a`, `a/b` */
function ancestors(path: ByteString): ByteString[] {
  const parts = path.split('/')
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'))
}
