import type { ByteString } from '../ssh/byte-string.ts'
import { quote } from '../ssh/quote.ts'
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
  const mayGoLater = ({ kept, path }: Entry) => kept !== undefined && mayGo(path)
  const removeFiles = all.removeFiles.filter(mayGo)
  const removed = new Set(removeFiles)
  const kept: Entry[] = []
  // What others put there and would go, were it not kept for a while.
  if (deletion === 'all') {
    for (const entry of all.result.ofType('file')) if (mayGoLater(entry)) kept.push(entry)
  }
  // What stays of ours is still ours, so that a later upload may remove it.
  for (const entry of ours.values()) {
    const { path, type } = entry
    if (type === 'folder' || removed.has(path) || site.has(path) || isBelow(path, all.replace)) continue
    kept.push({ ...entry, kept: entry.kept ?? now })
  }
  return {
    ...all,
    removeFiles,
    removeFolders: all.removeFolders.filter(mayGo),
    removed: removeFiles.length,
    result: kept.length === 0 ? site : makeManifest(bothOf(kept, site)),
  }
}

function* bothOf(kept: readonly Entry[], site: Manifest): Generator<Entry> {
  yield* kept
  yield* site.values()
}

/** What is left to send where an earlier attempt brought `arrived`, and what of that must go before. Pure. */
export function takeUp(send: Manifest, arrived: Manifest): Pick<Comparison, 'send' | 'replace'> {
  const rest = compare(arrived, send, () => false, 0)
  if (rest.replace.length === 0 && rest.removeFiles.length === 0) return rest
  // That was another content under the same name.
  return { send, replace: [...arrived.keys()].filter((path) => !path.includes('/')) }
}

/** One thing to do in a folder of the site: what in-place-code.ts has a function of the same name for. */
export type PlaceStep =
  | {
      readonly op: 'keep' | 'put' | 'drop' | 'gone' | 'restore'
      readonly folder: ByteString
      readonly names: readonly ByteString[]
    }
  | { readonly op: 'folder'; readonly mode: number; readonly folder: ByteString; readonly name: ByteString }
  | { readonly op: 'no_folder'; readonly folder: ByteString; readonly name: ByteString }

/** How an upload gets into its place, and how it is taken back. */
export interface PlacePlan {
  /** Saves what will be replaced. */
  readonly keep: readonly PlaceStep[]
  /** In order: what one part does is done before the next begins. */
  readonly put: readonly (readonly PlaceStep[])[]
  /** Takes away what was not there before. */
  readonly gone: readonly PlaceStep[]
  readonly restore: readonly PlaceStep[]
}

/**
 * New assets first, pages after, deletions last: no page is there before what it names. Pure. Of all that is sent it
 * holds no more than the names: there may be a hundred thousand.
 */
export function planPlace(comparison: Comparison, there: Manifest): PlacePlan {
  const { send, replace, removeFiles, removeFolders } = comparison
  const sent: ByteString[] = []
  const folders: FolderEntry[] = []
  const newAssets: ByteString[] = []
  const oldAssets: ByteString[] = []
  const pages: ByteString[] = []
  for (const entry of send.unhashed()) {
    if (entry.type === 'folder') {
      folders.push(entry)
      continue
    }
    const { path } = entry
    sent.push(path)
    if (/\.x?html?$/i.test(path)) pages.push(path)
    else if (there.has(path)) oldAssets.push(path)
    else newAssets.push(path)
  }
  const cleared: ByteString[] = []
  const clearedFolders: ByteString[] = []
  const oldFolders: FolderEntry[] = []
  const goneFolders = new Set(removeFolders)
  for (const entry of there.unhashed()) {
    const isReplaced = isBelow(entry.path, replace)
    if (entry.type !== 'folder') {
      if (isReplaced) cleared.push(entry.path)
      continue
    }
    if (isReplaced) clearedFolders.push(entry.path)
    if (isReplaced || goneFolders.has(entry.path)) oldFolders.push(entry)
  }
  const touched = [...new Set([...sent, ...cleared, ...removeFiles])]
  const keep = perFolder('keep', touched)
  return {
    keep,
    put: [
      perFolder('drop', cleared),
      clearedFolders.reverse().map(noFolder),
      folders.map(makeFolder),
      perFolder('put', newAssets),
      perFolder('put', oldAssets),
      perFolder('put', pages).reverse(),
      perFolder('drop', removeFiles),
      removeFolders.map(noFolder),
    ],
    gone: [
      ...perFolder('gone', sent),
      ...folders
        .filter((entry) => there.get(entry.path)?.type !== 'folder')
        .reverse()
        .map(({ path }) => noFolder(path)),
    ],
    restore: [...oldFolders.map(makeFolder), ...keep.map((step) => ({ ...step, op: 'restore' as const }))],
  }
}

/** The scripts of `next`, see in-place-code.ts. */
export function placeScripts({ keep, put, gone, restore }: PlacePlan): Record<string, Buffer> {
  const script = (steps: readonly PlaceStep[]) =>
    Buffer.concat(steps.map((step) => Buffer.from(`${line(step)}\n`, 'latin1')))
  return {
    'keep.sh': script(keep),
    'put.sh': script(put.flat()),
    'gone.sh': script(gone),
    'restore.sh': script(restore),
  }
}

function line(step: PlaceStep): ByteString {
  const folder = quote(step.folder)
  if (step.op === 'folder') return `folder ${step.mode.toString(8)} ${folder} ${quote(step.name)}`
  if (step.op === 'no_folder') return `no_folder ${folder} ${quote(step.name)}`
  return `${step.op} ${folder} ${step.names.map(quote).join(' ')}`
}

/** `a/b/c` -> `a/b`, `c` */
function split(path: ByteString): [folder: ByteString, name: ByteString] {
  const at = path.lastIndexOf('/')
  return [path.slice(0, Math.max(at, 0)), path.slice(at + 1)]
}

function noFolder(path: ByteString): PlaceStep {
  const [folder, name] = split(path)
  return { op: 'no_folder', folder, name }
}

function makeFolder({ path, mode }: FolderEntry): PlaceStep {
  const [folder, name] = split(path)
  return { op: 'folder', mode: mode < 0 ? 0o755 : mode, folder, name }
}

type NamesStep = Extract<PlaceStep, { names: unknown }>

/** One step for the names in each folder, in the order in which the folders come. */
function perFolder(op: NamesStep['op'], all: readonly ByteString[]): NamesStep[] {
  const groups = new Map<ByteString, ByteString[]>()
  for (const path of all) {
    const [folder, name] = split(path)
    const names = groups.get(folder) ?? []
    names.push(name)
    groups.set(folder, names)
  }
  return [...groups].flatMap(([folder, names]) =>
    Array.from({ length: Math.ceil(names.length / NAMES_AT_ONCE) }, (_, at) => ({
      op,
      folder,
      names: names.slice(at * NAMES_AT_ONCE, (at + 1) * NAMES_AT_ONCE),
    })),
  )
}

function isBelow(path: ByteString, tops: readonly ByteString[]): boolean {
  return tops.some((top) => path === top || path.startsWith(`${top}/`))
}
