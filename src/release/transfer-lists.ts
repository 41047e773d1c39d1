import { hash as digestOf } from 'node:crypto'
import type { ByteString } from '../ssh/byte-string.ts'
import { type Extra, extraOf } from './archive.ts'
import type { Comparison } from './comparison.ts'
import { encodeManifest, joinByNul, type Manifest, type UnhashedFile } from './manifest.ts'

/** The server hashes what arrived in two processes at once where it is much, in four where it is very much. */
const WORK_FOR_TWO = 8 * 1024 * 1024
const WORK_FOR_FOUR = 64 * 1024 * 1024
/** Opening a file counts as some bytes. */
const FILE_COST = 8 * 1024

/**
 * Lists for the server, NUL-ended names, and the manifest of what it will have, by the name `manifest`; they travel in
 * the archive as files beside the tree.
 */
export function lists({ removeFiles, removeFolders, send, result }: Comparison, manifest: string): Extra[] {
  return [
    nameList('remove', removeFiles),
    nameList('rmdirs', removeFolders),
    ...sentLists(send),
    extraOf(manifest, encodeManifest(result)),
  ]
}

function nameList(name: string, paths: Iterable<ByteString>): Extra {
  const chunks = [...joinByNul(relative(paths))]
  return { name, size: chunks.reduce((sum, { length }) => sum + length, 0), pieces: () => chunks }
}

function* relative(paths: Iterable<ByteString>): Generator<ByteString> {
  for (const path of paths) yield `./${path}`
}

function* files(send: Manifest): Generator<UnhashedFile, undefined> {
  for (const entry of send.unhashed()) if (entry.type === 'file') yield entry
}

/** The files of a release that pages of it may still name after it was replaced. */
export function assetList(name: string, release: Manifest, isAsset: (path: ByteString) => boolean): Extra {
  return nameList(name, paths(release, isAsset))
}

function* paths(release: Manifest, isPicked: (path: ByteString) => boolean): Generator<ByteString> {
  for (const { path } of files(release)) if (isPicked(path)) yield path
}

/** The files sent, in order, in lists that take the server about as long to hash one as the other. */
function sentLists(send: Manifest): Extra[] {
  const { total } = send
  const work = total.bytes + total.files * FILE_COST
  const share = Math.ceil(work / (work < WORK_FOR_TWO ? 1 : work < WORK_FOR_FOUR ? 2 : 4))
  const rest = files(send)
  let next = rest.next()
  let done = 0
  function* upTo(end: number): Generator<ByteString> {
    for (; next.done !== true && done < end; next = rest.next()) {
      yield next.value.path
      done += next.value.size + FILE_COST
    }
  }
  const lists: Extra[] = []
  while (next.done !== true) {
    const at = lists.length
    lists.push(nameList(`sent.${at}`, upTo((at + 1) * share)))
  }
  return lists
}

/** Digest over the hashes of the sent files, in order, as the server computes it; `-` where there are none. */
export function sentDigest(send: Manifest): string {
  let hashes = ''
  for (const hash of send.hashes()) hashes += `${hash}\n`
  return hashes === '' ? '-' : digestOf('sha256', hashes, 'hex')
}
