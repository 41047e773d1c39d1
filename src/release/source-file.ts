import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { describeError, Failure } from '../failure.ts'
import { type ByteString, fromByteString } from '../ssh/byte-string.ts'
import type { FileEntry } from './manifest.ts'
import { locate } from './source-listing.ts'

/** A file of the source folder that is read from one place on. To be closed. */
export interface OpenFile {
  /** Reads at least a byte and at most what there is room for, and says how much; throws at the file's end. */
  read(room: Buffer): number
  close(): void
}

/** Opens a listed file for reading; returns its descriptor. */
export function openEntry(root: ByteString, entry: FileEntry): number {
  try {
    return openSync(locate(root, entry.path), 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw changed(entry)
    throw new Failure(`'${fromByteString(entry.path)}' cannot be read`, {
      seen: describeError(error),
      state: 'the site on the server is as it was.',
      hint: "let the runner's user read all files of the source folder",
      cause: error,
    })
  }
}

/** The server verifies the content; the size must be right already, or the archive would be torn. */
export function openFile(root: ByteString, entry: FileEntry, from: number): OpenFile {
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

function changed({ path }: FileEntry): Failure {
  return new Failure(`'${fromByteString(path)}' changed while it was uploaded`, {
    state: 'the site on the server is as it was.',
    hint: 'let the build come to its end before this step',
  })
}
