// The sites that are uploaded: many small files, some of middling size, a few large ones.
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface SiteShape {
  readonly folders: number
  readonly files: number
  readonly bytes: number
  /** Share of the bytes that does not shrink, as in images and fonts; the rest is as in pages. */
  readonly solid: number
}

export type SiteName = 'S1' | 'S2' | 'S3' | 'S4'

export const sites: Readonly<Record<SiteName, SiteShape>> = {
  S1: { folders: 200, files: 5_000, bytes: 4_000, solid: 0.2 },
  S2: { folders: 20, files: 300, bytes: 200_000, solid: 0.6 },
  S3: { folders: 1, files: 3, bytes: 100_000_000, solid: 1 },
  S4: { folders: 1, files: 10, bytes: 100_000_000, solid: 1 },
}

const fileName = (shape: SiteShape, at: number) => `folder-${at % shape.folders}/file-${at}.html`

/** Fills a folder anew. */
export function growSite(folder: string, shape: SiteShape): void {
  rmSync(folder, { recursive: true, force: true })
  for (let at = 0; at < shape.folders; at++) mkdirSync(join(folder, `folder-${at}`), { recursive: true })
  for (let at = 0; at < shape.files; at++) writeFileSync(join(folder, fileName(shape, at)), content(shape))
}

/** Changes one file in a hundred and gives all of them new times, as a build in CI does. */
export function touchAll(folder: string, shape: SiteShape): void {
  const now = new Date()
  for (let at = 0; at < shape.files; at++) {
    const file = join(folder, fileName(shape, at))
    if (at % 100 === 0) writeFileSync(file, content(shape))
    utimesSync(file, now, now)
  }
}

function content({ bytes, solid }: SiteShape): Buffer {
  const text = Math.round(bytes * (1 - solid))
  const lines: string[] = []
  for (let length = 0; length < text; length += lines.at(-1)?.length ?? 0) {
    const id = randomBytes(8).toString('hex')
    lines.push(`<p class="text paragraph"><a href="/pages/${id}.html">Read more about it</a></p>\n`)
  }
  return Buffer.concat([Buffer.from(lines.join('').slice(0, text)), randomBytes(bytes - text)])
}
