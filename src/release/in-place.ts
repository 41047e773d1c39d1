import { quote } from '../ssh/quote.ts'
import type { ByteString } from '../ssh/remote-shell.ts'
import { type Comparison, compare } from './comparison.ts'
import { type Entry, type FolderEntry, type Manifest, makeManifest } from './manifest.ts'

/** What goes beside the files: `false` nothing, `true` what an earlier upload of ours put there, `all` everything. */
export type Deletion = 'false' | 'true' | 'all'

export interface InPlaceBase {
  /** What earlier uploads put there. */
  readonly ours: Manifest
  /** What lies there, as far as it is known. */
  readonly there: Manifest
}

/** Names in one command; more would be too long for some systems. */
const NAMES_AT_ONCE = 200

/**
 * How the site gets into a folder that may hold other things too. What `isExcluded` picks is never removed; `now` is in
 * Unix seconds. Pure.
 */
export function compareInPlace(
  { ours, there }: InPlaceBase,
  site: Manifest,
  deletion: Deletion,
  keep: (path: ByteString) => boolean,
  isExcluded: (path: ByteString) => boolean,
  now: number,
): Comparison {
  const all = compare(there, site, keep, now)
  const mayGo = (path: ByteString) =>
    deletion !== 'false' &&
    (deletion === 'all' || ours.has(path)) &&
    !path.split('/').some((_, at, parts) => isExcluded(parts.slice(0, at + 1).join('/')))
  const removeFiles = all.removeFiles.filter(mayGo)
  const removed = new Set(removeFiles)
  // What stays of ours is still ours, so that a later upload may remove it.
  const left = [...ours.values()].filter(
    ({ path, type }) => type !== 'folder' && !removed.has(path) && !isBelow(path, all.replace),
  )
  const kept = left.map((entry) => ({ ...entry, kept: entry.kept ?? now }))
  return {
    ...all,
    removeFiles,
    removeFolders: all.removeFolders.filter(mayGo),
    removed: removeFiles.length,
    result: makeManifest([...kept, ...site.values()]),
  }
}

/** The shell scripts that put an upload in its place and take it back, made of the functions on the server. Pure. */
export function placeScripts(comparison: Comparison, there: Manifest): Record<string, ByteString> {
  const { send, replace, removeFiles, removeFolders } = comparison
  const all = [...send.values()]
  const files = all.filter(({ type }) => type !== 'folder')
  const folders = all.filter((entry) => entry.type === 'folder')
  const replaced = [...there.values()].filter(({ path }) => isBelow(path, replace))
  const cleared = replaced.filter(({ type }) => type !== 'folder').map(({ path }) => path)
  const clearedFolders = replaced.filter(({ type }) => type === 'folder').map(({ path }) => path)
  const goneFolders = new Set([...clearedFolders, ...removeFolders])
  const oldFolders = [...there.values()].filter(
    (entry): entry is FolderEntry => entry.type === 'folder' && goneFolders.has(entry.path),
  )
  const sent = files.map(({ path }) => path)
  const touched = [...new Set([...sent, ...cleared, ...removeFiles])]
  const isNew = (entry: Entry) => !there.has(entry.path)
  const isPage = ({ path }: Entry) => /\.x?html?$/i.test(path)
  const assets = files.filter((entry) => !isPage(entry))
  const pages = files.filter(isPage)
  const inOrder = [
    ...perFolder('put', paths(assets.filter(isNew))),
    ...perFolder('put', paths(assets.filter((entry) => !isNew(entry)))),
    ...perFolder('put', paths(pages)).reverse(),
  ]
  return {
    'keep.sh': script(perFolder('keep', touched)),
    'put.sh': script([
      ...perFolder('drop', cleared),
      ...clearedFolders.reverse().map((path) => inParent('no_folder', path)),
      ...folders.map(makeFolder),
      ...inOrder,
      ...perFolder('drop', removeFiles),
      ...removeFolders.map((path) => inParent('no_folder', path)),
    ]),
    'gone.sh': script([
      ...perFolder('gone', sent),
      ...folders
        .filter((entry) => there.get(entry.path)?.type !== 'folder')
        .reverse()
        .map(({ path }) => inParent('no_folder', path)),
    ]),
    'restore.sh': script([...oldFolders.map(makeFolder), ...perFolder('restore', touched)]),
  }
}

const paths = (entries: readonly Entry[]) => entries.map(({ path }) => path)
const script = (lines: readonly ByteString[]) => lines.map((line) => `${line}\n`).join('')

/** `a/b/c` -> `a/b`, `c` */
function split(path: ByteString): [folder: ByteString, name: ByteString] {
  const at = path.lastIndexOf('/')
  return [path.slice(0, Math.max(at, 0)), path.slice(at + 1)]
}

function inParent(command: string, path: ByteString): ByteString {
  const [folder, name] = split(path)
  return `${command} ${quote(folder)} ${quote(name)}`
}

function makeFolder({ path, mode }: FolderEntry): ByteString {
  const [folder, name] = split(path)
  return `folder ${mode < 0 ? '755' : mode.toString(8)} ${quote(folder)} ${quote(name)}`
}

/** One call for the names in each folder, in the order in which the folders come. */
function perFolder(command: string, all: readonly ByteString[]): ByteString[] {
  const groups = new Map<ByteString, ByteString[]>()
  for (const path of all) {
    const [folder, name] = split(path)
    const names = groups.get(folder) ?? []
    names.push(quote(name))
    groups.set(folder, names)
  }
  return [...groups].flatMap(([folder, names]) =>
    Array.from({ length: Math.ceil(names.length / NAMES_AT_ONCE) }, (_, at) => {
      const some = names.slice(at * NAMES_AT_ONCE, (at + 1) * NAMES_AT_ONCE)
      return `${command} ${quote(folder)} ${some.join(' ')}`
    }),
  )
}

function isBelow(path: ByteString, tops: readonly ByteString[]): boolean {
  return tops.some((top) => path === top || path.startsWith(`${top}/`))
}
