import type { Context } from '../context.ts'
import { formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'
import { type ByteString, toByteString } from '../ssh/byte-string.ts'
import { type Comparison, compare } from './comparison.ts'
import { withOutcome } from './deployment.ts'
import { compareInPlace, type Deletion } from './in-place.ts'
import { contentId, type Entry, type LinkEntry, type Manifest, makeManifest } from './manifest.ts'
import { formatBytes } from './progress.ts'
import { type Ending, isFull, type SiteHost } from './site-host.ts'
import type { Opened } from './site-state.ts'
import type { SourceTree } from './source-tree.ts'

export interface StageOptions {
  readonly release: string
  /** The site with its `linked` paths. */
  readonly site: Manifest
  readonly linked: readonly string[]
  /** For `in-place`: what is removed, and what never is. */
  readonly deletion: Deletion
  readonly isExcluded: (path: ByteString) => boolean
  /** What stays reachable when the next release replaces this one; undefined where nothing does. */
  readonly keepAssets: ((path: ByteString) => boolean) | undefined
  /** `user:group`, '' to leave it. */
  readonly owner: string
  /** Time of the files sent, in Unix seconds: the same on all hosts, so that their ETags are. */
  readonly mtime: number
  readonly dryRun: boolean
  /** What may follow at once, as soon as the release is complete. */
  readonly ending: Ending
}

/** What staging did on one host, or would do. */
export interface StageReport {
  readonly host: string
  readonly added: number
  readonly changed: number
  readonly removed: number
  readonly unchanged: number
  readonly filesSent: number
  readonly bytesOnWire: number
  readonly siteBytes: number
  readonly codec: string
  /** What was checked of what arrived. */
  readonly verified: SiteHost['verifies']
  /** Whether the release was there already, with the same content. */
  readonly complete: boolean
  readonly comparedMs: number
  readonly sentMs: number
  readonly verifiedMs: number
}

/** Room for the file system's own needs, beyond the bytes to be written. */
const SPARE_BYTES = 8 * 1024 * 1024
const BLOCK = 4096

/** Throws where the site itself has something at a path of `linked`. */
export function checkLinked(site: Manifest, linked: readonly string[]): void {
  const taken = linkedEntries(linked).find(
    ({ path }) =>
      site.has(path) || path.split('/').some((_, at, parts) => isNoFolder(site, parts.slice(0, at))),
  )
  if (taken === undefined) return
  throw new Failure(`\`linked\` names '${taken.path}', which the source folder has too`, {
    state: 'nothing was changed.',
    hint: 'name it in `exclude`, or take it out of `linked`',
  })
}

/** The site with a relative link into `<target>/shared` for each of `linked`. */
export function withLinked(site: Manifest, linked: readonly string[]): Manifest {
  if (linked.length === 0) return site
  const links = linkedEntries(linked)
  const folders = links.flatMap(({ path }) =>
    path
      .split('/')
      .slice(1)
      .map((_, at) =>
        path
          .split('/')
          .slice(0, at + 1)
          .join('/'),
      )
      .filter((folder) => !site.has(folder))
      .map((folder) => ({ type: 'folder' as const, path: folder, mode: 0o755 })),
  )
  return makeManifest(
    (function* (): Generator<Entry> {
      yield* site.values()
      yield* folders
      yield* links
    })(),
  )
}

function linkedEntries(linked: readonly string[]): LinkEntry[] {
  return linked.map((path) => {
    const name = toByteString(path.replace(/\/$/, ''))
    // From releases/<id>/, one level up for each folder that the link lies in.
    const up = '../'.repeat(name.split('/').length + 1)
    return { type: 'link', path: name, to: `${up}shared/${name}` }
  })
}

function isNoFolder(site: Manifest, parts: readonly string[]): boolean {
  const entry = site.get(parts.join('/'))
  return entry !== undefined && entry.type !== 'folder'
}

/** Throws where the release is there with another content. */
export function checkSameContent(host: string, { state }: Opened, release: string, site: Manifest): boolean {
  const present = state.releases.find(({ id }) => id === release)
  if (present === undefined) return false
  if (present.content === contentId(site)) return true
  throw new Failure(`release ${release} is there already, with other content`, {
    host,
    state: 'this step changed nothing.',
    hint: 'a release never changes: give this content another `release`',
  })
}

/** Whether what the files hold must be known before anything is sent: only a first release is compared with nothing. */
export function needsContents(host: SiteHost, { base, state }: Opened, release: string): boolean {
  const isPlain = host.hasShell && host.mode === 'atomic'
  return !isPlain || (base?.manifest.size ?? 0) > 0 || state.releases.some(({ id }) => id === release)
}

function planStage(host: SiteHost, { base }: Opened, options: StageOptions): Comparison {
  const { site, keepAssets = () => false, mtime, deletion, isExcluded } = options
  const there = base?.manifest ?? makeManifest()
  const ours = base?.ours ?? makeManifest()
  // What commands or people put into a release was never of the site.
  const isOurs = (path: ByteString) => ours.has(path) || base?.assets?.has(path) === true
  if (host.mode === 'atomic') return compare(there, site, (path) => keepAssets(path) && isOurs(path), mtime)
  if (site.has('.evenkeel')) {
    throw new Failure("the source folder has '.evenkeel', which in place is where the action keeps its own", {
      state: 'the site is as it was.',
      hint: 'name it in `exclude`',
    })
  }
  return compareInPlace({ there, ours }, site, deletion, keepAssets, isExcluded, mtime)
}

/** Brings a release to one host, complete and verified, without touching what is served. */
export async function stageOn(
  host: SiteHost,
  opened: Opened,
  tree: SourceTree,
  options: StageOptions,
  context: Context,
): Promise<StageReport> {
  const { clock, log } = context
  const { release, site, dryRun } = options
  const started = clock.monotonic()
  const whole = site.total
  const still = {
    host: host.name,
    siteBytes: whole.bytes,
    verified: host.verifies,
    codec: 'none',
    filesSent: 0,
    bytesOnWire: 0,
    sentMs: 0,
    verifiedMs: 0,
  }
  if (checkSameContent(host.name, opened, release, site)) {
    const unchanged = whole.files
    return { ...still, added: 0, changed: 0, removed: 0, unchanged, complete: true, comparedMs: 0 }
  }

  const comparison = planStage(host, opened, options)
  const { added, changed, removed, unchanged } = comparison
  const sent = comparison.send.total
  const counts = { added, changed, removed, unchanged, complete: false }
  const comparedMs = clock.monotonic() - started
  if (opened.base?.kind === 'staging' || opened.base?.arrived !== undefined)
    log.info(`${host.name}: taking up an unfinished upload of ${release}`)
  log.info(
    `${host.name}: files: ${added} added, ${changed} changed, ${removed} removed, ${unchanged} unchanged; ${formatBytes(sent.bytes)} to send of ${formatBytes(whole.bytes)}`,
  )
  const needed = spaceFor(comparison.send)
  if (needed > opened.state.freeBytes) {
    if (!dryRun) await host.discard(release)
    throw new Failure('there is not enough space on the server', {
      host: host.name,
      seen: `${formatBytes(opened.state.freeBytes)} free, ${formatBytes(needed)} needed`,
      state: 'the site is as it was.',
      hint: 'free some space there, or keep fewer releases (`keep-releases`)',
    })
  }
  if (dryRun) return { ...still, ...counts, comparedMs, filesSent: sent.files }

  const { mtime, owner, linked, keepAssets } = options
  const plan = { release, comparison, opened, tree, mtime, site, owner, linked, keepAssets }
  const result = await host.bring(plan, options.ending, context).catch(async (error: unknown) => {
    // A full disk stays full until what arrived is gone; anything else is taken up by the next run.
    if (error instanceof Failure && isFull(`${error.message} ${error.details.seen ?? ''}`)) {
      await host.discard(release)
    }
    const isKnown = error instanceof Failure && error.details.state !== undefined
    if (isKnown || !options.ending.activate) throw error
    // The server may have swapped it without a line left to say so.
    throw withOutcome(error, {
      state: 'the settle step sees to it, and tells what is served.',
      complete: false,
    })
  })
  const { codec, bytesOnWire, filesSent, lanes, sentMs, verifiedMs } = result
  const checked = host.verifies === 'sizes' ? ' (by sizes)' : ''
  log.info(
    `${host.name}: release ${release} is complete and verified${checked}: ${formatBytes(bytesOnWire)} on the wire (${codec}, ${lanes} ${lanes === 1 ? 'lane' : 'lanes'}) in ${formatDuration(sentMs)}`,
  )
  return { ...still, ...counts, comparedMs, sentMs, verifiedMs, codec, filesSent, bytesOnWire }
}

/** What files take on a disk. */
function spaceFor(send: Manifest): number {
  let bytes = SPARE_BYTES
  for (const size of send.sizes()) bytes += Math.ceil(size / BLOCK) * BLOCK
  return bytes
}
