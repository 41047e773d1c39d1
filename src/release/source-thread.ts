import { Worker } from 'node:worker_threads'
import { describeError, Failure } from '../failure.ts'
import type { SourceNews, SourceOrder } from './source-reader.ts'

/**
 * A thread that lists, reads and hashes the source folder while this one loads, connects and sends. The memory in which it
 * tells of what it read changes hands.
 */
export class SourceThread {
  readonly order: SourceOrder
  readonly #entry: string
  #worker: Worker | undefined
  #ended: Promise<never> | undefined
  /** What was told before anybody listened. */
  readonly #early: SourceNews[] = []
  #hear = (news: SourceNews): void => {
    this.#early.push(news)
  }

  /** `entry` is the script that it runs, which finds there that it is not the main thread, and the order as its data. */
  constructor(entry: string, order: SourceOrder) {
    this.#entry = entry
    this.order = order
  }

  start(): void {
    if (this.#ended !== undefined) return
    this.#ended = new Promise((_, reject) => {
      this.#worker = new Worker(this.#entry, { workerData: this.order })
      // Until somebody listens it is nothing to wait for.
      this.#worker.unref()
      this.#worker.on('message', (news: SourceNews) => this.#hear(news))
      this.#worker.once('error', reject)
      this.#worker.once('exit', (code) => reject(new Error(`the thread that reads ended with ${code}`)))
    })
    this.#ended.catch(() => {})
  }

  /**
   * Listens to it, from its first news on. Never resolves, and rejects when the thread ends, which it does by itself after
   * the last news.
   */
  async read(hear: (news: SourceNews) => void): Promise<void> {
    this.start()
    this.#worker?.ref()
    for (const news of this.#early.splice(0)) hear(news)
    this.#hear = hear
    try {
      await this.#ended
    } catch (error) {
      throw beyondLimits(error) ?? error
    }
  }

  stop(): void {
    void this.#worker?.terminate()
  }
}

/** Of what this machine lacks; what else ends the thread is a defect. */
function beyondLimits(error: unknown): Failure | undefined {
  const { code } = error as NodeJS.ErrnoException
  if (!['EAGAIN', 'ERR_WORKER_INIT_FAILED', 'ERR_WORKER_OUT_OF_MEMORY'].includes(code ?? '')) return undefined
  return new Failure('the source folder cannot be read for lack of threads or memory', {
    seen: `${code}: ${describeError(error)}`,
    state: 'the site on the server is as it was.',
    hint: 'look at the limits of the runner (`ulimit -a`, those of its container) and at what else runs there',
    cause: error,
  })
}
