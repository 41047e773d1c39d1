import type { Context } from '../context.ts'
import type { ByteString } from '../ssh/byte-string.ts'
import { ifThere, listTree, writeFile } from '../ssh/sftp-files.ts'
import { contentId, type Entry, encodeManifest, type Manifest, makeManifest } from './manifest.ts'
import { keepReachable, readAssets } from './sftp-assets.ts'
import { type SftpDesk, siteFailure } from './sftp-desk.ts'
import type { SftpWork } from './sftp-site.ts'
import { buildTree, checkContents, checkTree, makeLink, readArrived, type TreeResult } from './sftp-tree.ts'
import type { Look, SendPlan } from './site-host.ts'
import { type Base, keptAsStored, type ReleaseInfo, releaseOf, type SiteState } from './site-state.ts'
import { assetList } from './transfer-lists.ts'

/** Releases and a link through SFTP, on the server as releases-code.ts has them. */
export class SftpReleases implements SftpWork {
  current: ByteString = ''
  readonly #desk: SftpDesk
  #state: Pick<SiteState, 'releases' | 'pending'> = { releases: [], pending: undefined }
  #newest = 0
  #look: Look = 'stored'
  #stage: ByteString = ''
  #base: { folder: ByteString; manifest: Manifest } | undefined
  #arrived: Manifest = makeManifest()

  constructor(desk: SftpDesk) {
    this.#desk = desk
  }

  async describe(): Promise<Pick<SiteState, 'current' | 'releases' | 'pending'>> {
    const { sftp, root, state } = this.#desk
    const link = await ifThere(sftp.lstat(`${root}/current`))
    if (link !== undefined && link.kind !== 'link') {
      throw siteFailure(
        this.#desk,
        `'current' in ${root} is not a symbolic link`,
        'move it away: the action makes it a link to the release that is served',
      )
    }
    this.current = link === undefined ? '' : await sftp.readlink(`${root}/current`)
    const [pending, returnTo = ''] = await this.#desk.lines(`${state}/pending`)
    this.#state = {
      pending: pending === undefined ? undefined : { release: pending, returnTo },
      releases: await this.#releases(),
    }
    return { current: this.current, ...this.#state }
  }

  /** Newest first. */
  async #releases(): Promise<ReleaseInfo[]> {
    const { sftp, root, state } = this.#desk
    const metas = (await ifThere(sftp.readdir(`${state}/meta`))) ?? []
    const found = await Promise.all(
      metas.map(async ({ name: id }) => {
        const meta = `${state}/meta/${id}`
        const [marks, folder, content, before] = await Promise.all([
          ifThere(sftp.readdir(meta)),
          ifThere(sftp.lstat(`${root}/releases/${id}`)),
          this.#desk.firstLine(`${meta}/content`),
          this.#desk.firstLine(`${meta}/before`),
        ])
        const has = (name: string) => marks?.some((mark) => mark.name === name)
        const noted = marks?.find(({ name }) => name === 'content')
        if (noted === undefined || folder?.kind !== 'folder') return []
        const mark = has('good') ? 'good' : has('failed') ? 'failed' : 'new'
        return [{ at: noted.mtime, id, content, state: mark, before: before || undefined } as const]
      }),
    )
    const sorted = found.flat().sort((a, b) => b.at - a.at)
    this.#newest = sorted[0]?.at ?? 0
    return sorted.map(({ at: _, ...info }) => info)
  }

  async claim(release: string, look: Look): Promise<Base | undefined> {
    const { sftp, root, state, lease } = this.#desk
    this.#look = look
    if (this.#state.releases.some(({ id }) => id === release)) return undefined
    if ((await ifThere(sftp.lstat(`${root}/releases/${release}`))) !== undefined) {
      throw siteFailure(
        this.#desk,
        `releases/${release} is there, but not from an upload of this action`,
        'choose another `release`, or move that folder away',
      )
    }
    if (lease !== undefined) {
      const { stage, isOld } = await this.#desk.takeStage(release)
      this.#stage = stage
      if (isOld) this.#arrived = await readArrived(this.#desk, stage)
    }
    const id = releaseOf(this.current) ?? this.#state.releases[0]?.id
    const stored = id === undefined ? undefined : await this.#desk.manifest(`${state}/meta/${id}/manifest.gz`)
    let assets: ReadonlySet<ByteString> = new Set()
    if (id !== undefined && stored !== undefined) {
      const folder = `${root}/releases/${id}`
      const isAltered = (await ifThere(sftp.lstat(`${state}/meta/${id}/altered`))) !== undefined
      if (isAltered) assets = await readAssets(this.#desk, id)
      const manifest = look === 'hashed' || isAltered ? await this.#rehashed(folder, stored) : stored
      this.#base = { folder, manifest }
    }
    const arrived = this.#arrived
    const before = this.#base?.manifest ?? makeManifest()
    const manifest = arrived.size === 0 ? before : makeManifest(withArrived(before, arrived))
    const kind = arrived.size > 0 ? 'staging' : this.#base === undefined ? 'none' : 'release'
    return { kind, manifest, ours: stored ?? makeManifest(), assets }
  }

  /** A release by what its files hold now; what the stored list says of being kept stays. */
  async #rehashed(folder: ByteString, stored: Manifest): Promise<Manifest> {
    const listed = await listTree(this.#desk.sftp, folder)
    const hashed = await this.#desk.hashed(folder, listed)
    return keptAsStored(hashed, stored)
  }

  send({ comparison, tree, mtime }: SendPlan, context: Context): Promise<TreeResult> {
    const { result } = comparison
    const plan = { stage: this.#stage, result, arrived: this.#arrived, base: this.#base, tree, mtime }
    return buildTree(this.#desk, plan, context)
  }

  async publish({ release, site, tree, linked, comparison, keepAssets }: SendPlan): Promise<void> {
    const desk = this.#desk
    const { sftp, root, state } = desk
    const stage = this.#stage
    const { result, send } = comparison
    await checkTree(desk, `${stage}/tree`, result)
    if (this.#look === 'hashed') await checkContents(desk, `${stage}/tree`, send.ofType('file'))
    await desk.makeShared(linked)
    desk.guard()
    await sftp.setstat(`${stage}/tree`, { mode: tree.rootMode })
    await sftp.mkdir(`${stage}/meta`, 0o755)
    await writeFile(sftp, `${stage}/meta/manifest.gz`, encodeManifest(result))
    if (keepAssets !== undefined) {
      const list = assetList('assets', result, keepAssets)
      await writeFile(sftp, `${stage}/meta/${list.name}`, Buffer.concat([...list.pieces()]))
    }
    // The order of the releases is that of these times, which count whole seconds here.
    const noted = `${stage}/meta/content`
    await writeFile(sftp, noted, Buffer.from(`${contentId(site)}\n`))
    const { mtime } = await sftp.lstat(noted)
    if (mtime <= this.#newest) await sftp.setstat(noted, { mtime: this.#newest + 1 })
    await desk.retire(`${state}/meta/${release}`)
    await desk.rename(`${stage}/meta`, `${state}/meta/${release}`)
    await desk.rename(`${stage}/tree`, `${root}/releases/${release}`)
    await desk.retire(stage)
  }

  async discard(): Promise<void> {
    await this.#desk.retire(this.#stage)
  }

  async activate(release: string, noteBefore: boolean): Promise<void> {
    const { root, state, sftp } = this.#desk
    if ((await ifThere(sftp.lstat(`${root}/releases/${release}`))) === undefined) {
      throw siteFailure(this.#desk, `releases/${release} is not there`, 'run the job again')
    }
    const now = await this.#linkNow()
    const [pending, returnTo = ''] = await this.#desk.lines(`${state}/pending`)
    const was = pending === undefined ? now : returnTo
    await this.#desk.commit(`${state}/pending`, `${release}\n${was}\n`)
    const before = releaseOf(was)
    if (noteBefore && before !== undefined && before !== release) {
      await this.#desk.commit(`${state}/meta/${release}/before`, `${before}\n`)
    }
    if (now !== `releases/${release}`) {
      if (!noteBefore) await keepReachable(this.#desk, releaseOf(now), release)
      await this.#point(`releases/${release}`)
    }
    this.current = await this.#linkNow()
  }

  async goBack(): Promise<void> {
    const { root, state, sftp } = this.#desk
    const [failed, was = ''] = await this.#desk.lines(`${state}/pending`)
    if (failed !== undefined) {
      if ((await this.#linkNow()) === `releases/${failed}` && was !== `releases/${failed}`) {
        if (was === '') await this.#desk.retire(`${root}/current`)
        else {
          await keepReachable(this.#desk, failed, releaseOf(was))
          await this.#point(was)
        }
      }
      const marks = await ifThere(sftp.readdir(`${state}/meta/${failed}`))
      if (marks !== undefined && !marks.some(({ name }) => name === 'good')) {
        await this.#desk.commit(`${state}/meta/${failed}/failed`, '')
      }
      await this.#desk.retire(`${state}/pending`)
    }
    this.current = await this.#linkNow()
  }

  async confirm(release: string): Promise<void> {
    const { state } = this.#desk
    await this.#desk.commit(`${state}/meta/${release}/good`, '')
    await this.#desk.retire(`${state}/meta/${release}/failed`)
    await this.#desk.retire(`${state}/pending`)
  }

  async prune(keep: number): Promise<void> {
    const { root, state, sftp } = this.#desk
    for (const id of outdated(await this.#releases(), releaseOf(await this.#linkNow()), keep)) {
      await this.#desk.retire(`${root}/releases/${id}`)
      await this.#desk.retire(`${state}/meta/${id}`)
    }
    for (const { name } of await sftp.readdir(root)) {
      if (name.startsWith('.evenkeel-current.')) await this.#desk.retire(`${root}/${name}`)
    }
    await this.#desk.sweep()
  }

  async #linkNow(): Promise<ByteString> {
    const { sftp, root } = this.#desk
    return (await ifThere(sftp.readlink(`${root}/current`))) ?? ''
  }

  /** Swaps the link by one rename, which fails once another run holds the lock. */
  async #point(to: ByteString): Promise<void> {
    const fresh = this.#desk.scratch('current')
    await makeLink(this.#desk, fresh, to)
    await this.#desk.rename(fresh, `${this.#desk.root}/current`)
  }
}

/**
 * Releases that go, of those given newest first: failed ones, and good ones beyond `keep`; never the served one nor
 * the one that it replaced. Pure.
 */
export function outdated(
  releases: readonly ReleaseInfo[],
  served: string | undefined,
  keep: number,
): readonly string[] {
  const before = releases.find(({ id }) => id === served)?.before
  const isNeeded = (id: string) => id === served || id === before
  const failed = releases.filter(({ state }) => state === 'failed')
  const others = releases.filter(({ state }) => state !== 'failed')
  return [...failed, ...others.slice(keep)].map(({ id }) => id).filter((id) => !isNeeded(id))
}

function* withArrived(before: Manifest, arrived: Manifest): Generator<Entry> {
  for (const entry of before.values()) if (!isBelowFile(entry.path, arrived)) yield entry
  yield* arrived.values()
}

/** Whether something that has arrived as a file stands where a path leads through. */
function isBelowFile(path: ByteString, arrived: Manifest): boolean {
  if (arrived.size === 0) return false
  const parts = path.split('/')
  return parts.some((_, at) => at > 0 && arrived.has(parts.slice(0, at).join('/')))
}
