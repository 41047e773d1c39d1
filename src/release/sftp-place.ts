import type { Context } from '../context.ts'
import type { ByteString } from '../ssh/byte-string.ts'
import { ifThere, linkOrCopy, listTree, makeFolder, writeFile } from '../ssh/sftp-files.ts'
import { type PlaceStep, placeScripts, planPlace } from './in-place.ts'
import { contentId, type Entry, encodeManifest, type Manifest, makeManifest } from './manifest.ts'
import { type SftpDesk, siteFailure, toEntry } from './sftp-desk.ts'
import { PlaceRunner } from './sftp-place-steps.ts'
import type { SftpWork } from './sftp-site.ts'
import { buildTree, checkContents, checkTree, foldersOf, readArrived, type TreeResult } from './sftp-tree.ts'
import type { Look, SendPlan } from './site-host.ts'
import { type Base, keptAsStored, releaseOf, type SiteState, storedHash } from './site-state.ts'

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
  readonly #runner: PlaceRunner
  #look: Look = 'stored'
  #stage: ByteString = ''
  #arrived: Manifest = makeManifest()
  #steps: ReturnType<typeof planPlace> | undefined
  #sent: Manifest | undefined

  constructor(desk: SftpDesk) {
    this.#desk = desk
    this.#runner = new PlaceRunner(desk)
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
      // What a dead run left half in place would be taken for the site.
      await this.goBack()
      if ((await this.#desk.firstLine(`${state}/next/release`)) === release) {
        await this.#desk.rename(`${state}/next`, `${state}/staging/${release}+next`)
      }
      const { stage, isOld } = await this.#desk.takeStage(release)
      this.#stage = stage
      if (isOld) this.#arrived = await readArrived(this.#desk, stage)
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
    if (this.#look === 'hashed') return keptAsStored(await this.#desk.hashed(root, listed), ours)
    const found = [...listed].flatMap(
      ([path, status]) => toEntry(path, status, storedHash(ours, path, status.size)) ?? [],
    )
    return keptAsStored(makeManifest(found), ours)
  }

  async send({ comparison, opened, tree, mtime }: SendPlan, context: Context): Promise<TreeResult> {
    const result = makeManifest(withParents(comparison.send))
    this.#steps = planPlace(comparison, opened.base?.manifest ?? makeManifest())
    this.#sent = result
    const plan = { stage: this.#stage, result, arrived: this.#arrived, base: undefined, tree, mtime }
    return buildTree(this.#desk, plan, context)
  }

  async publish({ release, site, comparison, mtime }: SendPlan): Promise<void> {
    const desk = this.#desk
    const { sftp, state } = desk
    const stage = this.#stage
    if (this.#sent === undefined || this.#steps === undefined) throw new TypeError('nothing was sent')
    await checkTree(desk, `${stage}/tree`, this.#sent)
    if (this.#look === 'hashed') await checkContents(desk, `${stage}/tree`, this.#sent.ofType('file'))
    const { gone, restore } = this.#steps
    const undo: UndoSteps = { gone, restore }
    const files: Record<string, Buffer> = {
      ...placeScripts(this.#steps),
      release: Buffer.from(`${release}\n`),
      content: Buffer.from(`${contentId(site)}\n`),
      owner: Buffer.from('\n'),
      'undo.json': Buffer.from(JSON.stringify(undo)),
    }
    desk.guard()
    await Promise.all(Object.entries(files).map(([name, text]) => writeFile(sftp, `${stage}/${name}`, text)))
    // With the time of its files, see `readArrived`.
    await writeFile(sftp, `${stage}/manifest.gz`, encodeManifest(comparison.result), { mtime })
    await desk.retire(`${state}/next`)
    await desk.retire(`${state}/back`)
    await desk.rename(stage, `${state}/next`)
  }

  async discard(): Promise<void> {
    const { state } = this.#desk
    await this.#desk.retire(this.#stage)
    if ((await this.#desk.firstLine(`${state}/pending`)) !== '') return
    // What arrived whole, and is not being put in place.
    for (const name of ['next', 'back']) await this.#desk.retire(`${state}/${name}`)
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
    await this.#runner.run(this.#steps.keep)
    await desk.retire(`${state}/undoing`)
    await desk.commit(`${state}/pending`, `${release}\n`)
    for (const part of this.#steps.put) await this.#runner.run(part)
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
        await this.#runner.run(undo.gone)
        await desk.commit(`${state}/undoing`, '')
      }
      await this.#runner.run(undo.restore)
      const left = [...(await this.#runner.saved())].find(([, { kind }]) => kind !== 'folder')
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
    for (const name of ['next', 'back', 'confirmed']) await desk.retire(`${state}/${name}`)
  }

  async prune(): Promise<void> {
    for (const name of ['next', 'back']) await this.#desk.retire(`${this.#desk.state}/${name}`)
    await this.#desk.sweep()
  }
}

/** With the folders that what is sent lies in, which count for less than those that are sent. */
function* withParents(send: Manifest): Generator<Entry> {
  const parents = new Set<ByteString>()
  for (const { path } of send.unhashed()) for (const folder of foldersOf(path)) parents.add(folder)
  for (const path of parents) yield { type: 'folder', path, mode: 0o755 }
  yield* send.values()
}
