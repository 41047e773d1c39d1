// A site in the making: a source folder, a root on the bed's server, and the action in between.
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Sshd } from '../bed/sshd.ts'
import type { ActionResult } from '../harness/action-result.ts'
import { type ActionOptions, runAction, startAction } from '../harness/action-run.ts'
import { sshInputs } from './ssh-input-cases.ts'

export type Files = Readonly<Record<string, string | Buffer>>

export class StaticSite {
  readonly sshd: Sshd
  /** The folder that is uploaded. */
  readonly source: string
  /** The site's root on the server. */
  readonly target: string

  constructor(sshd: Sshd, files: Files = { 'index.html': 'one' }) {
    this.sshd = sshd
    this.source = mkdtempSync(join(tmpdir(), 'evenkeel-source-'))
    this.target = mkdtempSync(join(tmpdir(), 'evenkeel-site-'))
    this.write(files)
  }

  write(files: Files): void {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(this.source, path)), { recursive: true })
      writeFileSync(join(this.source, path), content)
    }
  }

  inputs(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { ...sshInputs(this.sshd), target: this.target, ...more }
  }

  uploadOptions(release: string, more: Readonly<Record<string, string>> = {}): ActionOptions {
    return {
      action: 'scp-static-upload',
      inputs: this.inputs({ source: this.source, release, ...more }),
      node: '20',
    }
  }

  upload(
    release: string,
    more: Readonly<Record<string, string>> = {},
    options: Partial<ActionOptions> = {},
  ): Promise<ActionResult> {
    return runAction({ ...this.uploadOptions(release, more), ...options })
  }

  startUpload(release: string, more: Readonly<Record<string, string>> = {}) {
    return startAction(this.uploadOptions(release, more))
  }

  rollback(more: Readonly<Record<string, string>> = {}): Promise<ActionResult> {
    return runAction({ action: 'static-rollback', inputs: this.inputs(more), node: '20' })
  }

  /** Text of the link `current`, undefined when there is none. */
  get current(): string | undefined {
    return linkOf(this.target)
  }

  /** Content of a served file. */
  served(path: string): string {
    return readFileSync(join(this.target, 'current', path), 'utf8')
  }

  /** The releases that lie on the server. */
  get releases(): string[] {
    return readdirSync(join(this.target, 'releases'))
      .filter((name) => !name.startsWith('.'))
      .sort()
  }

  /** What lies in the target besides the folder of the action, and what it should be; modes of the roots do not count. */
  get placed(): string[] {
    return treeOf(this.target, '/.evenkeel').filter((line) => !line.startsWith('/ '))
  }

  get toBePlaced(): string[] {
    return treeOf(this.source).filter((line) => !line.startsWith('/ '))
  }

  remove(): void {
    rmSync(this.source, { recursive: true, force: true })
    rmSync(this.target, { recursive: true, force: true })
  }
}

/** Text of the link `current` of a site, undefined when there is none. */
export function linkOf(root: string): string | undefined {
  const link = join(root, 'current')
  return existsSync(link) ? readlinkSync(link) : undefined
}

/**
 * Every path below a folder with its kind, mode, and content or target: two equal trees give equal lists. What may be
 * changing meanwhile is left out by `without`.
 */
export function treeOf(folder: string, without?: string): string[] {
  const found: string[] = []
  const walk = (at: Buffer, name: string): void => {
    if (name === without) return
    const stat = lstatSync(at)
    const mode = (stat.mode & 0o777).toString(8)
    if (stat.isSymbolicLink()) found.push(`${name} -> ${readlinkSync(at, 'buffer').toString('latin1')}`)
    else if (stat.isDirectory()) {
      found.push(`${name}/ ${mode}`)
      for (const entry of readdirSync(at, { encoding: 'buffer' })) {
        walk(Buffer.concat([at, Buffer.from('/'), entry]), `${name}/${entry.toString('latin1')}`)
      }
    } else {
      found.push(`${name} ${mode} ${createHash('sha256').update(readFileSync(at)).digest('hex')}`)
    }
  }
  walk(Buffer.from(folder), '')
  return found.sort()
}
