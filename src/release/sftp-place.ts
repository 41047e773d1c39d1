import type { Context } from '../context.ts'
import type { ByteString } from '../ssh/remote-shell.ts'
import { type FileStatus, SftpError } from '../ssh/sftp.ts'
import {
  ifThere,
  inLevels,
  inParallel,
  isMissing,
  linkOrCopy,
  listTree,
  makeFolder,
  makeFolders,
  writeFile,
} from '../ssh/sftp-files.ts'
import { type PlaceStep, placeScripts, planPlace } from './in-place.ts'
import { encodeManifest, type Manifest, makeManifest } from './manifest.ts'
import { type SftpDesk, siteFailure, toEntry } from './sftp-desk.ts'
import type { SftpWork } from './sftp-site.ts'
import {
  buildTree,
  checkContents,
  checkTree,
  foldersOf,
  makeLink,
  readArrived,
  type TreeResult,
} from './sftp-tree.ts'
import type { Look, SendPlan } from './site-host.ts'
import { type Base, releaseOf, type SiteState } from './site-state.ts'

/** Beside the scripts of in-place-code.ts in `next`: what takes the upload back, for a run that reads it again. */
interface UndoSteps {
  readonly gone: readonly PlaceStep[]
  readonly restore: readonly PlaceStep[]
}

/**
 * Files straight in the served folder through SFTP, on the server as in-place-code.ts has them; `next` holds
 * `undo.json` as well, and `confirmed` is there while the list of what lies there gives way to the new one.
 */
export class SftpPlace implements SftpWork {
  current: ByteString = ''
  readonly #desk: SftpDesk
  #look: Look = 'stored'
  #stage: ByteString = ''
  #arrived: Manifest = makeManifest()
  #steps: ReturnType<typeof planPlace> | undefined
  #sent: Manifest | undefined
  /** Folders of the site that were seen to lie in it. */
  readonly #inside = new Map<ByteString, Promise<boolean>>()
  #realRoot: Promise<ByteString> | undefined
  /** Folders in `back`. */
  readonly #made = new Map<ByteString, Promise<void>>()

  constructor(desk: SftpDesk) {
    this.#desk = desk
  }

  async describe(): Promise<Pick<SiteState, 'current' | 'releases' | 'pending'>> {
    const { state, lease } = this.#desk
    if (lease !== undefined) await this.#finishConfirm()
    const placed = await this.#desk.firstLine(`${state}/site/release`)
    this.current = placed === '' ? '' : `releases/${placed}`
    const content = await this.#desk.firstLine(`${state}/site/content`)
    const pending = await this.#desk.firstLine(`${state}/pending`)
    return {
      current: this.current,
      releases: placed === '' ? [] : [{ id: placed, content, state: 'good', before: undefined }],
      pending: pending === '' ? undefined : { release: pending, returnTo: this.current },
    }
  }

  async claim(release: string, look: Look): Promise<Base | undefined> {
    const { state, lease, root, sftp } = this.#desk
    this.#look = look
    if (releaseOf(this.current) === release) return undefined
    if (lease !== undefined) {
      const { stage, isOld } = await this.#desk.takeStage(release)
      this.#stage = stage
      if (isOld) this.#arrived = await readArrived(this.#desk, stage)
      // What a dead run left half in place would be taken for the site.
      await this.goBack()
    }
    const ours = (await this.#desk.manifest(`${state}/site/manifest.gz`)) ?? makeManifest()
    const isThere = look !== 'stored' && (await ifThere(sftp.stat(root))) !== undefined
    const manifest = isThere ? await this.#survey(ours) : ours
    return { kind: 'place', manifest, ours }
  }

  /** What lies in the target; where not everything is to be read, a file of ours of the same size counts as unchanged. */
  async #survey(ours: Manifest): Promise<Manifest> {
    const { sftp, root } = this.#desk
    const listed = await listTree(sftp, root, (path) => path === '.evenkeel')
    if (this.#look === 'hashed') return this.#desk.hashed(root, listed)
    return makeManifest(
      [...listed].flatMap(([path, status]) => {
        const known = ours.get(path)
        const isSame = known?.type === 'file' && status.kind === 'file' && known.size === status.size
        return toEntry(path, status, isSame ? known.hash : '') ?? []
      }),
    )
  }

  async send({ comparison, opened, tree, mtime }: SendPlan, context: Context): Promise<TreeResult> {
    const sent = [...comparison.send.values()]
    const parents = sent.flatMap(({ path }) => foldersOf(path))
    const result = makeManifest([
      ...parents.map((path) => ({ type: 'folder', path, mode: 0o755 }) as const),
      ...sent,
    ])
    this.#steps = planPlace(comparison, opened.base?.manifest ?? makeManifest())
    this.#sent = result
    const plan = { stage: this.#stage, result, arrived: this.#arrived, base: undefined, tree, mtime }
    return buildTree(this.#desk, plan, context)
  }

  async publish({ release, content, comparison }: SendPlan): Promise<void> {
    const desk = this.#desk
    const { sftp, state } = desk
    const stage = this.#stage
    if (this.#sent === undefined || this.#steps === undefined) throw new TypeError('nothing was sent')
    await checkTree(desk, `${stage}/tree`, this.#sent)
    if (this.#look === 'hashed') await checkContents(desk, `${stage}/tree`, this.#sent.ofType('file'))
    const { gone, restore } = this.#steps
    const undo: UndoSteps = { gone, restore }
    const files: Record<string, Buffer> = {
      release: Buffer.from(`${release}\n`),
      content: Buffer.from(`${content}\n`),
      owner: Buffer.from('\n'),
      'manifest.gz': encodeManifest(comparison.result),
      'undo.json': Buffer.from(JSON.stringify(undo)),
    }
    for (const [name, text] of Object.entries(placeScripts(this.#steps))) {
      files[name] = Buffer.from(text, 'latin1')
    }
    desk.guard()
    await Promise.all(Object.entries(files).map(([name, text]) => writeFile(sftp, `${stage}/${name}`, text)))
    await desk.retire(`${state}/next`)
    await desk.retire(`${state}/back`)
    await desk.rename(stage, `${state}/next`)
  }

  async discard(): Promise<void> {
    await this.#desk.retire(this.#stage)
  }

  async activate(release: string): Promise<void> {
    const desk = this.#desk
    const { sftp, state } = desk
    if (this.#steps === undefined) {
      // Confirmed there by an earlier run, while another host had yet to follow.
      if (this.current === `releases/${release}`) return
      throw siteFailure(desk, `release ${release} is not there`, 'run the job again')
    }
    desk.guard()
    await makeFolder(sftp, `${state}/back`, 0o700)
    await this.#run(this.#steps.keep)
    await desk.retire(`${state}/undoing`)
    await desk.commit(`${state}/pending`, `${release}\n`)
    for (const part of this.#steps.put) await this.#run(part)
    this.current = `releases/${release}`
  }

  async goBack(): Promise<void> {
    const desk = this.#desk
    const { sftp, state } = desk
    if ((await ifThere(sftp.lstat(`${state}/pending`))) !== undefined) {
      const [json = ''] = await desk.lines(`${state}/next/undo.json`)
      if (json === '') {
        throw siteFailure(
          desk,
          'a run that used a shell died here while it put its files in place',
          'run once with a login that has a shell: it takes that back',
        )
      }
      const undo = JSON.parse(json) as UndoSteps
      if ((await ifThere(sftp.lstat(`${state}/undoing`))) === undefined) {
        await this.#run(undo.gone)
        await desk.commit(`${state}/undoing`, '')
      }
      await this.#run(undo.restore)
      const left = [...(await this.#saved())].find(([, { kind }]) => kind !== 'folder')
      if (left !== undefined) {
        throw siteFailure(desk, 'not everything could be put back in its place', 'run the job again', left[0])
      }
      // In this order: what is undone by halves is never undone a second time from its beginning.
      for (const name of ['pending', 'undoing', 'next', 'back']) await desk.retire(`${state}/${name}`)
    }
    const placed = await desk.firstLine(`${state}/site/release`)
    this.current = placed === '' ? '' : `releases/${placed}`
  }

  async confirm(): Promise<void> {
    const desk = this.#desk
    const { sftp, state } = desk
    if ((await ifThere(sftp.lstat(`${state}/pending`))) === undefined) return
    await desk.retire(`${state}/site.new`)
    desk.guard()
    await sftp.mkdir(`${state}/site.new`, 0o700)
    for (const part of ['manifest.gz', 'content', 'release']) {
      const from = `${state}/next/${part}`
      await linkOrCopy(sftp, from, `${state}/site.new/${part}`, await sftp.lstat(from))
    }
    // From here on it stands.
    await desk.rename(`${state}/pending`, `${state}/confirmed`)
    await this.#finishConfirm()
  }

  async #finishConfirm(): Promise<void> {
    const desk = this.#desk
    const { sftp, state } = desk
    if ((await ifThere(sftp.lstat(`${state}/confirmed`))) === undefined) return
    if ((await ifThere(sftp.lstat(`${state}/site.new`))) !== undefined) {
      await desk.retire(`${state}/site`)
      await desk.rename(`${state}/site.new`, `${state}/site`)
    }
    await desk.retire(`${state}/confirmed`)
  }

  async prune(): Promise<void> {
    for (const name of ['next', 'back']) await this.#desk.retire(`${this.#desk.state}/${name}`)
    await this.#desk.sweep()
  }

  async #saved(): Promise<Map<ByteString, FileStatus>> {
    const back = `${this.#desk.state}/back`
    if ((await ifThere(this.#desk.sftp.lstat(back))) === undefined) return new Map()
    return listTree(this.#desk.sftp, back)
  }

  /** Steps of one kind that follow each other are sent together, folders level by level. */
  async #run(steps: readonly PlaceStep[]): Promise<void> {
    for (let at = 0; at < steps.length; ) {
      const { op } = steps[at] as PlaceStep
      const end = steps.findIndex((step, index) => index > at && step.op !== op)
      const some = steps.slice(at, end < 0 ? undefined : end)
      at += some.length
      const saved =
        op === 'gone' || op === 'restore' ? await this.#saved() : new Map<ByteString, FileStatus>()
      if (op === 'folder' || op === 'no_folder') {
        const byPath = new Map(some.map((step) => [pathOf(step.folder, nameOf(step)), step]))
        const order = op === 'folder' ? 'top first' : 'deepest first'
        await inLevels([...byPath.keys()], (path) => this.#folder(byPath.get(path) as PlaceStep), order)
        continue
      }
      await inParallel(names(some), (one) => this.#file(op, one, saved), 256)
    }
  }

  async #folder(step: PlaceStep): Promise<void> {
    const { sftp, root } = this.#desk
    const name = nameOf(step)
    const path = `${root}/${pathOf(step.folder, name)}`
    const isKnown = await this.#enter(step.folder)
    if (step.op === 'no_folder') {
      if (!isKnown || (await ifThere(sftp.lstat(path)))?.kind !== 'folder') return
      this.#desk.guard()
      // It stays as long as something is left in it.
      await sftp.rmdir(path).catch((error: unknown) => {
        if (!(error instanceof SftpError)) throw error
      })
      return
    }
    if (step.op !== 'folder') return
    if ((await ifThere(sftp.lstat(path)))?.kind === 'link') {
      const what = `'${pathOf(step.folder, name)}' is a symbolic link there, where the site has a folder`
      throw siteFailure(this.#desk, what, 'move it away, or take that folder out of the upload')
    }
    this.#desk.guard()
    await makeFolder(sftp, path, step.mode)
    await sftp.setstat(path, { mode: step.mode })
  }

  async #file(
    op: PlaceStep['op'],
    [folder, name]: readonly [ByteString, ByteString],
    saved: ReadonlyMap<ByteString, FileStatus>,
  ): Promise<void> {
    const { sftp, root, state } = this.#desk
    const path = pathOf(folder, name)
    const place = `${root}/${path}`
    const back = `${state}/back/${path}`
    const kind = saved.get(path)?.kind
    const isSaved = kind === 'file' || kind === 'link'
    if (op === 'restore' && !isSaved) return
    if (!(await this.#enter(folder))) {
      if (op === 'put') throw siteFailure(this.#desk, `'${folder}' cannot be entered`, 'look at it there')
      return
    }
    switch (op) {
      case 'keep':
        return this.#keep(place, back)
      case 'put':
        return this.#put(`${state}/next/tree/${path}`, place)
      case 'restore':
        return this.#desk.rename(back, place)
      case 'gone':
        if (isSaved || (await ifThere(sftp.lstat(place)))?.kind === 'folder') return
        break
      default:
    }
    this.#desk.guard()
    await ifThere(sftp.remove(place))
  }

  async #keep(place: ByteString, back: ByteString): Promise<void> {
    const { sftp } = this.#desk
    const there = await ifThere(sftp.lstat(place))
    if (there?.kind !== 'file' && there?.kind !== 'link') return
    const folder = back.slice(0, back.lastIndexOf('/'))
    const made = this.#made.get(folder) ?? makeFolders(sftp, folder, 0o700)
    this.#made.set(folder, made)
    await made
    await ifThere(sftp.remove(back))
    this.#desk.guard()
    if (there.kind === 'link') await makeLink(this.#desk, back, await sftp.readlink(place))
    else await linkOrCopy(sftp, place, back, there)
  }

  async #put(from: ByteString, place: ByteString): Promise<void> {
    try {
      await this.#desk.rename(from, place)
    } catch (error) {
      if (!(error instanceof SftpError) || isMissing(error)) throw error
      if ((await ifThere(this.#desk.sftp.lstat(place)))?.kind !== 'folder') throw error
      const what = `'${place}' is a folder there, where the site has a file`
      throw siteFailure(this.#desk, what, 'move it away, or take that file out of the upload')
    }
  }

  /** False where there is no such folder; throws where a link has put it outside of the site. */
  async #enter(folder: ByteString): Promise<boolean> {
    if (folder === '') return true
    const seen = this.#inside.get(folder) ?? this.#isInside(folder)
    this.#inside.set(folder, seen)
    const isThere = await seen
    if (!isThere) this.#inside.delete(folder)
    return isThere
  }

  async #isInside(folder: ByteString): Promise<boolean> {
    const { sftp, root } = this.#desk
    this.#realRoot ??= sftp.realpath(root)
    // Servers resolve the last part of a path even where nothing is there.
    if ((await ifThere(sftp.stat(`${root}/${folder}`)))?.kind !== 'folder') return false
    const [real, top] = await Promise.all([sftp.realpath(`${root}/${folder}`), this.#realRoot])
    if (real.startsWith(top === '/' ? '/' : `${top}/`)) return true
    const what = `'${folder}' leads out of the folder of the site`
    throw siteFailure(this.#desk, what, 'look at that symbolic link on the server', real)
  }
}

const pathOf = (folder: ByteString, name: ByteString) => (folder === '' ? name : `${folder}/${name}`)
const nameOf = (step: PlaceStep) => ('name' in step ? step.name : '')

function names(steps: readonly PlaceStep[]): (readonly [ByteString, ByteString])[] {
  return steps.flatMap((step) =>
    'names' in step ? step.names.map((name) => [step.folder, name] as const) : [],
  )
}
