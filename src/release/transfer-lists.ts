import { createHash } from 'node:crypto'
import type { ByteString } from '../ssh/remote-shell.ts'
import { type Extra, extraOf } from './archive.ts'
import type { Comparison } from './comparison.ts'
import { encodeManifest, type Manifest } from './manifest.ts'

/** The server hashes what arrived in so many processes at once, where it is much; opening a file counts as some bytes. */
const HASH_LISTS = 4
const WORK_FOR_LISTS = 8 * 1024 * 1024
const FILE_COST = 8 * 1024

/**
 * Lists for the server, NUL-ended names, and the manifest of what it will have, by the name `manifest`; they travel in
 * the archive as files beside the tree.
 */
export function lists({ removeFiles, removeFolders, send, result }: Comparison, manifest: string): Extra[] {
  return [
    nameList('remove', () => removeFiles),
    nameList('rmdirs', () => removeFolders),
    ...sentLists(send),
    extraOf(manifest, encodeManifest(result)),
  ]
}

function nameList(name: string, paths: () => Iterable<ByteString>): Extra {
  let size = 0
  for (const path of paths()) size += path.length + 3
  return {
    name,
    size,
    *pieces() {
      for (const path of paths()) yield Buffer.from(`./${path}\0`, 'latin1')
    },
  }
}

/** The files sent, in order, in lists that take the server about as long to hash one as the other. */
function sentLists(send: Manifest): Extra[] {
  const { files, bytes } = send.total
  const work = bytes + files * FILE_COST
  const share = work < WORK_FOR_LISTS ? work : Math.ceil(work / HASH_LISTS)
  return Array.from({ length: Math.ceil(work / share) || 0 }, (_, at) =>
    nameList(`sent.${at}`, () => pathsOfShare(send, share, at)),
  )
}

function* pathsOfShare(send: Manifest, share: number, wanted: number): Generator<ByteString> {
  let before = 0
  for (const { path, size } of send.ofType('file')) {
    if (Math.floor(before / share) === wanted) yield path
    before += size + FILE_COST
  }
}

/** Digest over the hashes of the sent files, in order, as the server computes it; `-` where there are none. */
export function sentDigest(send: Manifest): string {
  const digest = createHash('sha256')
  let files = 0
  for (const { hash } of send.ofType('file')) {
    digest.update(`${hash}\n`)
    files++
  }
  return files === 0 ? '-' : digest.digest('hex')
}
