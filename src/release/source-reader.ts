import { lstatSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { describeError, Failure, type FailureDetails } from '../failure.ts'
import { toByteString } from '../ssh/byte-string.ts'
import { effectiveMode, parseModeChange } from './file-mode.ts'
import { pathMatcher } from './glob.ts'
import type { Manifest } from './manifest.ts'
import { type Columns, ManifestBuilder } from './packed-manifest.ts'
import { isOfSystem } from './source-file.ts'
import { Listing } from './source-listing.ts'

/** What is to be read. */
export interface SourceOrder {
  /** Absolute path of the folder. */
  readonly folder: string
  /** Globs of what is left out. */
  readonly exclude: readonly string[]
  /** As `parseModeChange` takes it; '' for none. */
  readonly chmod: string
}

/** What is told of it: all names, then batch by batch what they hold; or why it cannot go on. */
export type SourceNews =
  | { readonly listed: { readonly columns: Columns; readonly files: number; readonly rootMode: number } }
  | { readonly read: Batch }
  | { readonly failed: Omit<FailureDetails, 'cause'> & { readonly what: string } }

/** What the next entries hold, in the order of their paths. */
export interface Batch {
  /** Of files, the number of bytes that were read. */
  readonly sizes: Float64Array
  /** The manifest's, one behind the other. */
  readonly hashes: Uint8Array
  /** Where a file's content begins in `contents`; -1 where it is not kept. */
  readonly places: Int32Array
  readonly contents: Uint8Array | undefined
}

export type Tell = (news: SourceNews, handedOver?: readonly ArrayBuffer[]) => void

/** The whole life of a thread that reads: it carries out the order that it was started with, and ends. */
export function carryOutOrder(): void {
  void readSource(workerData as SourceOrder, (news, handedOver = []) =>
    parentPort?.postMessage(news, handedOver),
  )
}

/** Lists a folder, then reads and hashes its files, and tells of it. Names are taken as bytes, whatever they hold. */
export async function readSource(order: SourceOrder, tell: Tell): Promise<void> {
  try {
    const manifest = listFolder(order, tell)
    // What hashes takes about as long to load as a folder takes to be listed.
    const { Reading } = await import('./source-contents.ts')
    const reading = new Reading(toByteString(order.folder), tell)
    for (const entry of manifest.unhashed()) {
      if (entry.type === 'file') reading.file(entry)
      else reading.noFile()
    }
    reading.end()
  } catch (error) {
    // An error's class does not get through to the other thread.
    const { message: what, details } = asFailure(error)
    const { cause, ...texts } = details
    tell({ failed: { what, ...texts } })
  }
}

function listFolder({ folder, exclude, chmod }: SourceOrder, tell: Tell): Manifest {
  const modeChange = parseModeChange(chmod)
  const listing = new Listing(toByteString(folder), { exclude: pathMatcher(exclude), modeChange })
  const builder = new ManifestBuilder()
  let files = 0
  for (const entry of listing.entries('', 0)) {
    builder.add(entry)
    if (entry.type !== 'folder') files++
  }
  if (files === 0) {
    throw new Failure('the source folder holds no files', {
      seen: folder,
      state: 'nothing was changed.',
      hint: 'check that the build ran before this step, and the globs of `exclude`',
    })
  }
  const manifest = builder.finish()
  const rootMode = effectiveMode(lstatSync(folder).mode, true, modeChange)
  tell({ listed: { columns: manifest.columns, files, rootMode } })
  return manifest
}

function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  if (!isOfSystem(error)) throw error
  return new Failure('the source folder cannot be read', {
    seen: describeError(error),
    state: 'the site on the server is as it was.',
    hint: 'let the build come to its end before this step, and the user of the runner read all of the folder',
  })
}
