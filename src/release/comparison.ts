import type { ByteString } from '../ssh/remote-shell.ts'
import { type Entry, type FileEntry, type Manifest, makeManifest } from './manifest.ts'

/** How a release comes about from what is on the server already. */
export interface Comparison {
  /** What must travel. */
  readonly send: readonly Entry[]
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
  const send: Entry[] = []
  const replace = new Set<ByteString>()
  let added = 0
  let changed = 0
  let unchanged = 0
  for (const entry of site.values()) {
    const before = base.get(entry.path)
    if (before !== undefined && before.type !== entry.type) replace.add(entry.path)
    const isSame = before !== undefined && same(before, entry)
    if (!isSame) send.push(entry)
    if (entry.type === 'folder') continue
    if (isSame) unchanged++
    else if (before === undefined) added++
    else changed++
  }

  const gone = [...base.values()].filter(
    ({ path }) => !site.has(path) && !ancestors(path).some((above) => replace.has(above)),
  )
  const keptFiles = gone.filter(
    (entry): entry is FileEntry =>
      entry.type === 'file' && keep(entry.path) && now - (entry.kept ?? now) <= KEEP_SECONDS,
  )
  const keptPaths = new Set(keptFiles.flatMap(({ path }) => [path, ...ancestors(path)]))
  const kept = gone
    .filter(({ path }) => keptPaths.has(path))
    .map((entry) => ({ ...entry, kept: entry.kept ?? now }))
  const removed = gone.filter(({ path }) => !keptPaths.has(path))
  const removeFiles = removed.filter(({ type }) => type !== 'folder').map(({ path }) => path)
  const removeFolders = removed
    .filter(({ type }) => type === 'folder')
    .map(({ path }) => path)
    .reverse()
  return {
    send,
    replace: [...replace],
    removeFiles,
    removeFolders,
    result: makeManifest([...site.values(), ...kept]),
    added,
    changed,
    removed: removeFiles.length,
    unchanged,
  }
}

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
