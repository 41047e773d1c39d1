import { Worker } from 'node:worker_threads'
import type { SourceNews, SourceOrder } from './source-reader.ts'

/**
 * A thread that lists, reads and hashes the source folder while this one connects and sends. It starts at once and waits
 * for its order; the memory in which it tells of what it read changes hands.
 */
export class SourceThread {
  readonly #worker: Worker
  readonly #ended: Promise<never>

  /** `entry` is the script that it runs, which finds there that it is not the main thread. */
  constructor(entry: string) {
    this.#worker = new Worker(entry)
    this.#ended = new Promise((_, reject) => {
      this.#worker.once('error', reject)
      this.#worker.once('exit', (code) => reject(new Error(`the thread that reads ended with ${code}`)))
    })
    this.#ended.catch(() => {})
  }

  /** Has a folder read, once. Rejects when the thread ends, which it does by itself after the last news. */
  read(order: SourceOrder, hear: (news: SourceNews) => void): Promise<never> {
    this.#worker.on('message', hear)
    this.#worker.postMessage(order)
    return this.#ended
  }

  stop(): void {
    void this.#worker.terminate()
  }
}
