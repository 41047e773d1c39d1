import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Cancelled } from '../../src/failure.ts'
import { PackedManifest } from '../../src/release/packed-manifest.ts'
import { readSource, type SourceNews, type SourceOrder } from '../../src/release/source-reader.ts'
import { SourceThread } from '../../src/release/source-thread.ts'
import { listSource } from '../../src/release/source-tree.ts'

const KB = 1024
const signal = new AbortController().signal
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'evenkeel-reader-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const order = (): SourceOrder => ({ folder, exclude: [], chmod: '' })

function put(path: string, content: string | Buffer): void {
  mkdirSync(join(folder, path, '..'), { recursive: true })
  writeFileSync(join(folder, path), content)
}

/** All that is told; `listed` is called between the listing and the reading. */
async function news(listed = () => {}): Promise<SourceNews[]> {
  const all: SourceNews[] = []
  await readSource(order(), (one) => {
    all.push(structuredClone(one))
    if ('listed' in one) listed()
  })
  return all
}

/** What is known of each entry when all has been told. */
function contentsOf(all: readonly SourceNews[]) {
  const [first, ...rest] = all
  if (first === undefined || !('listed' in first)) throw new Error('it does not begin with the names')
  const manifest = new PackedManifest(first.listed.columns)
  const kept = new Map<string, string>()
  let at = 0
  for (const one of rest) {
    if (!('read' in one)) throw new Error('something else than what was read')
    const { sizes, hashes, places, contents } = one.read
    manifest.setContents(at, sizes, hashes)
    for (const [index, place] of places.entries()) {
      if (place < 0) continue
      const content = Buffer.from(contents ?? []).subarray(place, place + (sizes[index] ?? 0))
      kept.set(manifest.path(at + index), content.toString('latin1'))
    }
    at += places.length
  }
  return { manifest, kept, at }
}

const hashOf = (content: string | Buffer) => createHash('sha256').update(content).digest('hex').slice(0, 32)

describe('readSource', () => {
  test('tells of every entry, whatever its size, and keeps the small contents', async () => {
    const sizes = [0, 1, 32 * KB - 1, 32 * KB, 32 * KB + 1, 256 * KB - 1, 256 * KB, 256 * KB + 1, 5000 * KB]
    const contents = new Map(sizes.map((size, index) => [`f${index}`, Buffer.alloc(size, `${index}x`)]))
    for (const [path, content] of contents) put(path, content)
    for (let index = 0; index < 1500; index++) put(`many/${index}`, `content of ${index}`)
    put('odd/a\nb\\c', 'odd')
    symlinkSync('odd', join(folder, 'to'))
    const { manifest, kept, at } = contentsOf(await news())
    expect(at).toBe(manifest.size)
    for (const [path, content] of contents) {
      expect(manifest.get(path)).toMatchObject({ size: content.length, hash: hashOf(content) })
      expect(kept.get(path)).toBe(content.length > 32 * KB ? undefined : content.toString('latin1'))
    }
    for (let index = 0; index < 1500; index++) {
      expect(kept.get(`many/${index}`)).toBe(`content of ${index}`)
      expect(manifest.get(`many/${index}`)).toMatchObject({ hash: hashOf(`content of ${index}`) })
    }
    expect(manifest.get('odd/a\nb\\c')).toMatchObject({ size: 3, hash: hashOf('odd') })
    expect(manifest.get('to')).toEqual({ type: 'link', path: 'to', to: 'odd' })
  })

  test('tells of small files before it reads a large one', async () => {
    put('a', 'small')
    put('b', Buffer.alloc(300 * KB))
    const batches = (await news()).flatMap((one) => ('read' in one ? [one.read.places.length] : []))
    expect(batches).toEqual([1, 1])
  })

  test('keeps no more than 24 MB of contents', async () => {
    const large = Buffer.alloc(32 * KB, 'x')
    for (let index = 0; index < 800; index++) put(`${index}`, large)
    const { kept } = contentsOf(await news())
    expect(kept.size).toBe(Math.floor((24 * KB * KB) / (32 * KB + 512)))
  })

  test.each([
    ['grows', () => appendFileSync(join(folder, 'b'), 'and more'), 'content and more'],
    ['shrinks', () => truncateSync(join(folder, 'b'), 3), 'con'],
  ])('a file that %s after the listing is told of as it is read, and not kept', async (_, change, content) => {
    for (const path of ['a', 'b', 'c']) put(path, 'content ')
    const { manifest, kept } = contentsOf(await news(change))
    expect(manifest.get('b')).toMatchObject({ size: content.length, hash: hashOf(content) })
    expect([...kept.keys()]).toEqual(['a', 'c'])
  })

  const changed = "'b' changed while it was uploaded"
  test.each<[what: string, put: (path: string) => void, message: string]>([
    ['has gone', () => {}, changed],
    ['has become a folder', (path) => mkdirSync(path), changed],
    ['has become a link', (path) => symlinkSync('a', path), changed],
    ['has become a pipe', (path) => execFileSync('mkfifo', [path]), "'b' cannot be read"],
  ])('a file that %s ends it with a message', async (_, change, what) => {
    for (const path of ['a', 'b', 'c']) put(path, 'content')
    const all = await news(() => {
      rmSync(join(folder, 'b'))
      change(join(folder, 'b'))
    })
    const last = all.at(-1)
    expect(last).toMatchObject({ failed: { what, state: 'the site on the server is as it was.' } })
  })

  test('what is told takes little more memory than it has to tell', async () => {
    for (let index = 0; index < 20; index++) {
      put(`${index}.html`, 'page')
      put(`${index}.jpg`, Buffer.alloc(300 * KB))
    }
    const all = await news()
    expect(contentsOf(all).kept.size).toBe(20)
    const told = all.flatMap((one) => ('read' in one ? [one.read] : []))
    const bytes = told.flatMap((one) => Object.values(one) as (Uint8Array | undefined)[])
    expect(bytes.reduce((sum, part) => sum + (part?.buffer.byteLength ?? 0), 0)).toBeLessThan(10 * KB)
  })

  test('a folder without files is refused', async () => {
    mkdirSync(join(folder, 'empty'))
    expect(await news()).toMatchObject([
      { failed: { what: 'the source folder holds no files', seen: folder } },
    ])
  })
})

/** A thread whose news come when the test says so. */
class HeldThread {
  stopped = false
  hear: (news: SourceNews) => void = () => {}
  end: (error: Error) => void = () => {}

  readonly order = order()

  read(hear: (news: SourceNews) => void): Promise<void> {
    this.hear = hear
    return new Promise((_resolve, reject) => {
      this.end = reject
    })
  }

  stop(): void {
    this.stopped = true
  }

  asThread(): SourceThread {
    return this as unknown as SourceThread
  }
}

describe('listSource', () => {
  async function heldTree(abort = signal) {
    put('a', 'small')
    put('b', Buffer.alloc(300 * KB))
    put('c', 'small too')
    const [listed, ...batches] = (await news()) as [SourceNews, SourceNews, SourceNews, SourceNews]
    const thread = new HeldThread()
    const opening = listSource(thread.asThread(), abort)
    thread.hear(listed)
    return { thread, batches, tree: await opening }
  }

  test('who waits for a file goes on when it is hashed, and not before', async () => {
    const { thread, batches, tree } = await heldTree()
    const done: string[] = []
    const waiting = ['a', 'b'].map((path) => tree.whenHashed(path)?.then(() => done.push(path)))
    const all = tree.hash().then(() => done.push('all'))
    thread.hear(batches[0] as SourceNews)
    await waiting[0]
    expect(done).toEqual(['a'])
    expect(tree.whenHashed('a')).toBeUndefined()
    for (const batch of batches.slice(1)) thread.hear(batch)
    await Promise.all([...waiting, all])
    expect(done).toEqual(['a', 'b', 'all'])
    expect(tree.whenHashed('zz, which a link may be called')).toBeUndefined()
    const [a] = tree.manifest.ofType('file')
    expect(a === undefined ? a : tree.kept(a)?.toString()).toBe('small')
  })

  test('a thread that ends early fails who waits then and later', async () => {
    const { thread, tree } = await heldTree()
    const waiting = tree.whenHashed('a')
    thread.end(new Error('the thread that reads ended with 1'))
    await expect(waiting).rejects.toThrow('ended with 1')
    await expect(tree.hash()).rejects.toThrow('ended with 1')
  })

  test('one that ends after the last news fails nobody', async () => {
    const { thread, batches, tree } = await heldTree()
    for (const batch of batches) thread.hear(batch)
    thread.end(new Error('the thread that reads ended with 0'))
    await tree.hash()
  })

  test('what it says that it cannot read is an error for people', async () => {
    const { thread, tree } = await heldTree()
    thread.hear({ failed: { what: "'b' cannot be read", hint: 'look at it' } })
    await expect(tree.hash()).rejects.toMatchObject({
      message: "'b' cannot be read",
      details: { hint: 'look at it' },
    })
    expect(thread.stopped).toBe(true)
  })

  test('a cancel ends the waiting and the thread', async () => {
    const controller = new AbortController()
    const { thread, tree } = await heldTree(controller.signal)
    const waiting = tree.hash()
    controller.abort(new Cancelled('cancelled'))
    await expect(waiting).rejects.toThrow('cancelled')
    expect(thread.stopped).toBe(true)
  })

  test('a cancel before the names have come does so too', async () => {
    const controller = new AbortController()
    const thread = new HeldThread()
    const opening = listSource(thread.asThread(), controller.signal)
    controller.abort(new Cancelled('cancelled'))
    await expect(opening).rejects.toThrow('cancelled')
    expect(thread.stopped).toBe(true)
  })
})

describe('SourceThread', () => {
  async function endOf(script: string): Promise<unknown> {
    writeFileSync(join(folder, 'thread.mjs'), script)
    const thread = new SourceThread(join(folder, 'thread.mjs'), order())
    thread.start()
    return thread.read(() => {}).catch((error: unknown) => error)
  }

  test('what the machine lacks is an error for people', async () => {
    const coded = "throw Object.assign(new Error('no room'), { code: 'ERR_WORKER_OUT_OF_MEMORY' })"
    const message = 'the source folder cannot be read for lack of threads or memory'
    expect(await endOf(coded)).toMatchObject({
      message,
      details: { seen: 'ERR_WORKER_OUT_OF_MEMORY: no room' },
    })
  })

  test('a defect stays what it is', async () => {
    expect(await endOf("throw new TypeError('a defect')")).toMatchObject({
      name: 'TypeError',
      message: 'a defect',
    })
    expect(await endOf('process.exit(3)')).toMatchObject({ message: 'the thread that reads ended with 3' })
  })

  test('it has its order from the start, and what it tells is heard from the first word on', async () => {
    const told = join(folder, 'told')
    const script = `import { writeFileSync } from 'node:fs'
      import { parentPort, workerData } from 'node:worker_threads'
      parentPort.postMessage(workerData)
      writeFileSync(${JSON.stringify(told)}, '')`
    writeFileSync(join(folder, 'thread.mjs'), script)
    const thread = new SourceThread(join(folder, 'thread.mjs'), order())
    thread.start()
    await vi.waitFor(() => expect(existsSync(told)).toBe(true))
    const heard: unknown[] = []
    await expect(thread.read((one) => heard.push(one))).rejects.toThrow('ended with 0')
    expect(heard).toEqual([order()])
  })
})
