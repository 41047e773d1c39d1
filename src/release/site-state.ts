import { Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/byte-string.ts'
import {
  decodeManifest,
  type Entry,
  isInsidePath,
  type Manifest,
  makeManifest,
  type OnServer,
  splitAtNul,
} from './manifest.ts'
import type { Look } from './site-host.ts'

export interface ReleaseInfo {
  readonly id: string
  /** Identity of its content, see `contentId`. */
  readonly content: string
  /** `good` once it was confirmed, `failed` when it was gone back from. */
  readonly state: 'new' | 'good' | 'failed'
  /** The release that it replaced. */
  readonly before: string | undefined
}

/** How a site stands on one server. */
export interface SiteState {
  /** Text of the link `current`, '' when there is none. */
  readonly current: ByteString
  /** Newest first. */
  readonly releases: readonly ReleaseInfo[]
  /** An activation that nobody confirmed: its run died. */
  readonly pending: { readonly release: string; readonly returnTo: ByteString } | undefined
  readonly freeBytes: number
  readonly tools: ReadonlySet<string>
}

/** No file has it. */
const NOT_READ = '0'.repeat(32)

/** What a new release is built from. */
export interface Base {
  /** `hashed`: a release, by what its files hold rather than by its stored list. */
  readonly kind: 'none' | 'release' | 'staging' | 'hashed' | 'place'
  readonly manifest: Manifest
  /** What the last upload of ours put there. */
  readonly ours: Manifest
  /** Assets that `ours` may not know, of releases that were gone back from. */
  readonly assets?: ReadonlySet<ByteString>
  /** What an unfinished upload of the release brought; of `place` alone, the others have it in `manifest`. */
  readonly arrived?: Manifest
}

export interface Opened {
  readonly state: SiteState
  /** Undefined when the release is there already, or when none was asked for. */
  readonly base: Base | undefined
  /** A pipe on the server that its shell listens to; undefined where it could not be made. */
  readonly bell: ByteString | undefined
}

/** Collects what `describe` and `claim` print. */
export class StateReader {
  /** The action's folder on the server, for who has to look there. */
  readonly #place: OnServer
  readonly #look: Look
  readonly data = new Map<string, Buffer>()
  busy: string | undefined
  copied: string | undefined
  #bell: ByteString | undefined
  #base: Base['kind'] | undefined
  #stored: string | undefined
  #current: ByteString = ''
  #pending: SiteState['pending']
  #free = Number.MAX_SAFE_INTEGER
  readonly #releases: ReleaseInfo[] = []
  readonly #tools = new Set<string>()

  constructor(place: OnServer, look: Look = 'stored') {
    this.#place = place
    this.#look = look
  }

  record(name: string, value: ByteString): void {
    const [first = '', ...rest] = value.split(' ')
    switch (name) {
      case 'busy':
        this.busy = fromByteString(value)
        break
      case 'copied':
        this.copied = fromByteString(value)
        break
      case 'current':
        this.#current = value
        break
      case 'pending':
        this.#pending = { release: first, returnTo: rest.join(' ') }
        break
      case 'release':
        this.#releases.push({
          id: first,
          content: rest[0] ?? '',
          state: rest[1] as ReleaseInfo['state'],
          before: rest[2] || undefined,
        })
        break
      case 'free':
        if (/^\d+$/.test(value)) this.#free = Number(value) * 1024
        break
      case 'tool':
        this.#tools.add(value)
        break
      case 'bell':
        this.#bell = value
        break
      case 'stored':
        this.#stored = fromByteString(value)
        break
      case 'base':
        this.#base = first as Base['kind']
    }
  }

  finish(): Opened {
    const state = {
      current: this.#current,
      releases: this.#releases,
      pending: this.#pending,
      freeBytes: this.#free,
      tools: this.#tools,
    }
    return { state, base: this.#base && this.#finishBase(this.#base), bell: this.#bell }
  }

  #finishBase(kind: Base['kind']): Base {
    const stored = this.data.get('manifest')
    const ours = stored === undefined ? makeManifest() : decodeManifest(stored, this.#storedList())
    if (kind === 'none') return { kind, manifest: makeManifest(), ours }
    const unread = this.#look === 'listed' ? ours : undefined
    const manifest = this.data.has('names') ? keptAsStored(makeManifest(this.#found('', unread)), ours) : ours
    const assets = new Set(pathsIn(this.data.get('assets') ?? Buffer.alloc(0)))
    const base = { kind, manifest, ours, assets }
    return this.data.has('arrived-names') ? { ...base, arrived: makeManifest(this.#found('arrived-')) } : base
  }

  #storedList(): OnServer {
    const { host, path } = this.#place
    return {
      host,
      path: `${path}/${this.#stored === undefined ? 'site' : `meta/${this.#stored}`}/manifest.gz`,
    }
  }

  /**
   * What lies there, or what an earlier attempt has brought over: folders get their modes anew. Where the files were not
   * read, `stored` tells what they hold.
   */
  *#found(prefix: string, stored?: Manifest): Generator<Entry> {
    const list = (name: string) => this.data.get(`${prefix}${name}`) ?? Buffer.alloc(0)
    const hashes = lines(list('hashes'))
    const modes = lines(list('modes'))
    for (const path of pathsIn(list('names'))) {
      const found = modes.next().value
      const [mode = '0', bytes = '0'] = found?.split(' ') ?? []
      const size = Number(bytes)
      const hash = stored === undefined ? hashes.next().value : storedHash(stored, path, size)
      // Without a line for each file it is not known which belongs to which.
      if (hash === undefined || found === undefined) throw this.#unreadable()
      if (isInsidePath(path)) yield { type: 'file', path, mode: Number.parseInt(mode, 8), size, hash }
    }
    if (hashes.next().value !== undefined || modes.next().value !== undefined) throw this.#unreadable()
    for (const path of pathsIn(list('folders'))) {
      if (isInsidePath(path)) yield { type: 'folder', path, mode: -1 }
    }
    for (const path of pathsIn(list('links'))) if (isInsidePath(path)) yield { type: 'link', path, to: '' }
  }

  #unreadable(): Failure {
    return new Failure('what lies on the server could not be listed', {
      host: this.#place.host,
      seen: 'the lists of names, sizes and contents do not agree',
      state: 'the site is as it was.',
      hint: `run the job again; should it fail again, remove what is left in ${this.#place.path}/staging on the server first`,
    })
  }
}

/** What a file that was not read counts as: one of its size in `stored` as that one. */
export function storedHash(stored: Manifest, path: ByteString, size: number): string {
  const known = stored.get(path)
  return known?.type === 'file' && known.size === size ? known.hash : NOT_READ
}

/** What was found, with the times since when `stored` keeps it. */
export function keptAsStored(found: Manifest, stored: Manifest): Manifest {
  if (!stored.keepsAny) return found
  return makeManifest(
    (function* (): Generator<Entry> {
      for (const entry of found.values()) {
        const kept = stored.get(entry.path)?.kept
        yield kept === undefined ? entry : { ...entry, kept }
      }
    })(),
  )
}

function* lines(list: Buffer): Generator<string, undefined> {
  for (let start = 0, end = list.indexOf(10); end >= 0; start = end + 1, end = list.indexOf(10, start)) {
    yield list.toString('latin1', start, end)
  }
}

/** The paths of a NUL-ended list, as they are in a manifest. */
export function* pathsIn(list: Buffer): Generator<ByteString> {
  for (const path of splitAtNul(list)) {
    const inside = path.replace(/^\.\//, '')
    if (inside !== '.' && inside !== '') yield inside
  }
}

/** The release that a link names, undefined when it is not one of ours. */
export function releaseOf(link: ByteString): string | undefined {
  return /^releases\/([^/]+)$/.exec(link)?.[1]
}
