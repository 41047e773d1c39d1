import type { ByteString } from '../ssh/byte-string.ts'
import type { FileStatus } from '../ssh/sftp.ts'
import {
  ifThere,
  inLevels,
  inParallel,
  isMissing,
  linkOrCopy,
  listTree,
  makeFolder,
  makeFolders,
} from '../ssh/sftp-files.ts'
import { SftpError } from '../ssh/sftp-session.ts'
import type { PlaceStep } from './in-place.ts'
import { type SftpDesk, siteFailure } from './sftp-desk.ts'
import { makeLink } from './sftp-tree.ts'

/** Does through SFTP what the functions of in-place-code.ts do in a shell; never through a link that leaves the site. */
export class PlaceRunner {
  readonly #desk: SftpDesk
  /** Folders of the site that were seen to lie in it. */
  readonly #inside = new Map<ByteString, Promise<boolean>>()
  #realRoot: Promise<ByteString> | undefined
  /** Folders in `back`. */
  readonly #made = new Map<ByteString, Promise<void>>()

  constructor(desk: SftpDesk) {
    this.#desk = desk
  }

  /** What lies in `back`. */
  async saved(): Promise<Map<ByteString, FileStatus>> {
    const back = `${this.#desk.state}/back`
    if ((await ifThere(this.#desk.sftp.lstat(back))) === undefined) return new Map()
    return listTree(this.#desk.sftp, back)
  }

  /** Steps of one kind that follow each other are sent together, folders level by level. */
  async run(steps: readonly PlaceStep[]): Promise<void> {
    for (let at = 0; at < steps.length; ) {
      const { op } = steps[at] as PlaceStep
      const end = steps.findIndex((step, index) => index > at && step.op !== op)
      const some = steps.slice(at, end < 0 ? undefined : end)
      at += some.length
      const saved = op === 'gone' || op === 'restore' ? await this.saved() : new Map<ByteString, FileStatus>()
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
        await this.#desk.rename(back, place)
        // Of two names of one file, rename(2) leaves both: what was to replace it had not come yet.
        await ifThere(sftp.remove(back))
        return
      case 'gone':
        if (isSaved || (await ifThere(sftp.lstat(place)))?.kind === 'folder') return
        break
      default:
        if ((await ifThere(sftp.lstat(place)))?.kind !== 'folder') break
        throw siteFailure(
          this.#desk,
          `'${path}' is a folder there, where the site had a file`,
          'look at it there',
        )
    }
    // Not removed: what is sent for a run that is gone by then must not take away what was put back meanwhile.
    await this.#desk.retire(place)
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
    // Servers resolve the last part of a path even where nothing is there.
    if ((await ifThere(sftp.stat(`${root}/${folder}`)))?.kind !== 'folder') return false
    // Not before: where this look fails, nobody would wait for it.
    this.#realRoot ??= sftp.realpath(root)
    const [real, top] = await Promise.all([sftp.realpath(`${root}/${folder}`), this.#realRoot])
    if (real.startsWith(top === '/' ? '/' : `${top}/`)) return true
    const what = `'${folder}' leads out of the folder of the site`
    throw siteFailure(this.#desk, what, 'look at that symbolic link on the server', real)
  }
}

const pathOf = (folder: ByteString, name: ByteString) => (folder === '' ? name : `${folder}/${name}`)
const nameOf = (step: PlaceStep) => ('name' in step ? step.name : '')

function* names(steps: readonly PlaceStep[]): Generator<readonly [ByteString, ByteString]> {
  for (const step of steps) {
    if ('names' in step) for (const name of step.names) yield [step.folder, name]
  }
}
