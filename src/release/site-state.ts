import { Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/byte-string.ts'
import {
  decodeManifest,
  type Entry,
  isInsidePath,
  type Manifest,
  makeManifest,
  splitAtNul,
} from './manifest.ts'

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

/** What a new release is built from. */
export interface Base {
  /** `hashed`: a release, by what its files hold rather than by its stored list. */
  readonly kind: 'none' | 'release' | 'staging' | 'hashed' | 'place'
  readonly manifest: Manifest
  /** What uploads of ours put there; of `place` alone. */
  readonly ours: Manifest
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
  readonly data = new Map<string, Buffer>()
  busy: string | undefined
  copied: string | undefined
  #bell: ByteString | undefined
  #base: Base['kind'] | undefined
  #current: ByteString = ''
  #pending: SiteState['pending']
  #free = Number.MAX_SAFE_INTEGER
  readonly #releases: ReleaseInfo[] = []
  readonly #tools = new Set<string>()

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
    const ours = stored === undefined ? makeManifest() : decodeManifest(stored)
    if (kind === 'release') return { kind, manifest: ours, ours }
    if (kind !== 'place')
      return { kind, manifest: kind === 'none' ? makeManifest() : this.#inventory(), ours }
    const place = { kind, manifest: this.data.has('names') ? this.#inventory() : ours, ours }
    return this.data.has('arrived-names') ? { ...place, arrived: this.#inventory('arrived-') } : place
  }

  /** What an earlier attempt has brought over: files by their true content; folders get their modes anew. */
  #inventory(prefix = ''): Manifest {
    return makeManifest(this.#found(prefix))
  }

  *#found(prefix: string): Generator<Entry> {
    const list = (name: string) => this.data.get(`${prefix}${name}`) ?? Buffer.alloc(0)
    const hashes = lines(list('hashes'))
    const modes = lines(list('modes'))
    for (const path of paths(list('names'))) {
      const hash = hashes.next().value
      const found = modes.next().value
      // Without a line for each file it is not known which belongs to which.
      if (hash === undefined || found === undefined) throw unreadable()
      const [mode = '0', size = '0'] = found.split(' ')
      if (!isInsidePath(path)) continue
      yield { type: 'file', path, mode: Number.parseInt(mode, 8), size: Number(size), hash }
    }
    if (hashes.next().value !== undefined || modes.next().value !== undefined) throw unreadable()
    for (const path of paths(list('folders'))) {
      if (isInsidePath(path)) yield { type: 'folder', path, mode: -1 }
    }
    for (const path of paths(list('links'))) if (isInsidePath(path)) yield { type: 'link', path, to: '' }
  }
}

function* lines(list: Buffer): Generator<string, undefined> {
  for (let start = 0, end = list.indexOf(10); end >= 0; start = end + 1, end = list.indexOf(10, start)) {
    yield list.toString('latin1', start, end)
  }
}

function* paths(list: Buffer): Generator<ByteString> {
  for (const path of splitAtNul(list)) {
    const inside = path.replace(/^\.\//, '')
    if (inside !== '.' && inside !== '') yield inside
  }
}

function unreadable(): Failure {
  return new Failure('what an earlier, unfinished upload left behind cannot be read', {
    hint: 'remove the folder releases/.evenkeel/staging on the server',
  })
}

/** The release that a link names, undefined when it is not one of ours. */
export function releaseOf(link: ByteString): string | undefined {
  return /^releases\/([^/]+)$/.exec(link)?.[1]
}
