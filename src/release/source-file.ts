import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { describeError, Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/byte-string.ts'
import type { UnhashedFile } from './manifest.ts'
import { locate } from './source-listing.ts'

/** A file of the source folder that is read from one place on. To be closed. */
export interface OpenFile {
  /** Reads at least a byte and at most what there is room for, and says how much; throws at the file's end. */
  read(room: Buffer): number
  close(): void
}

/** What has taken a listed file's place is not followed where it is a link, and not waited for where it is a pipe. */
const HOW = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Opens a listed file for reading; returns its descriptor. Throws a `Failure` where it has gone or cannot be read. */
export function openEntry(root: ByteString, entry: UnhashedFile): number {
  try {
    return openSync(locate(root, entry.path), HOW)
  } catch (error) {
    throw unreadable(entry, error)
  }
}

/** For an error of the file system. */
export function unreadable(entry: UnhashedFile, error: unknown): Failure {
  if (['ENOENT', 'ELOOP', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
    return changed(entry)
  return new Failure(`'${fromByteString(entry.path)}' cannot be read`, {
    seen: describeError(error),
    state: 'the site on the server is as it was.',
    hint: "let the runner's user read all files of the source folder",
    cause: error,
  })
}

/** The server verifies the content; the size must be right already, or the archive would be torn. */
export function openFile(root: ByteString, entry: UnhashedFile, from: number): OpenFile {
  const file = openEntry(root, entry)
  if (fstatSync(file).size !== entry.size) {
    closeSync(file)
    throw changed(entry)
  }
  let at = from
  return {
    read(room) {
      const count = readSync(file, room, 0, room.length, at)
      if (count === 0) throw changed(entry)
      at += count
      return count
    },
    close: () => closeSync(file),
  }
}

function changed({ path }: UnhashedFile): Failure {
  return new Failure(`'${fromByteString(path)}' changed while it was uploaded`, {
    state: 'the site on the server is as it was.',
    hint: 'let the build come to its end before this step',
  })
}

/** Whether an error comes from the file system. */
export const isOfSystem = (error: unknown) => error instanceof Error && 'syscall' in error
