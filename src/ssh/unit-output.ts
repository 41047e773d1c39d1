import { Buffer } from 'node:buffer'

/** Comes before the log's bytes: what a login shell prints of its own must not count among them. */
export const LOG_BEGINS = '\x1eevenkeel-log\n'

/** How long the text before the log may be, in bytes; the end of it is kept. */
const KEPT_BEFORE = 64 * 1024

/**
 * Takes what a followed unit prints apart: text before its log, the log's bytes, and the line of JSON that ends it. That
 * line is told from the log by a random token, so that nothing in the log can pass for it.
 */
export class UnitOutput {
  readonly #mark: Buffer
  readonly #onLog: (bytes: Buffer) => void
  #pending = Buffer.alloc(0)
  #begun = false
  #ending = false
  /** What came before the log. */
  before = ''
  /** The last line, once it has come whole. */
  result: string | undefined

  constructor(token: string, onLog: (bytes: Buffer) => void) {
    this.#mark = Buffer.from(resultMark(token))
    this.#onLog = onLog
  }

  push(chunk: Buffer): void {
    if (this.result !== undefined) return
    this.#pending = Buffer.concat([this.#pending, chunk])
    if (!this.#ending) {
      const end = this.#pending.indexOf(this.#mark)
      const upTo = end >= 0 ? end : this.#pending.length - this.#held()
      const bytes = this.#pending.subarray(0, upTo)
      this.#pending = this.#pending.subarray(end >= 0 ? end + this.#mark.length : upTo)
      this.#ending = end >= 0
      this.#give(bytes)
    }
    const newline = this.#pending.indexOf('\n')
    if (this.#ending && newline >= 0) this.result = this.#pending.subarray(0, newline).toString('utf8')
  }

  /** Bytes at the end that may be the beginning of a mark. */
  #held(): number {
    const marks = this.#begun ? [this.#mark] : [this.#mark, Buffer.from(LOG_BEGINS)]
    const longest = Math.max(...marks.map(({ length }) => length))
    let at = Math.max(0, this.#pending.length - longest + 1)
    for (; at < this.#pending.length; at++) {
      const rest = this.#pending.subarray(at)
      if (marks.some((mark) => mark.subarray(0, rest.length).equals(rest))) return rest.length
    }
    return 0
  }

  #give(bytes: Buffer): void {
    let log = bytes
    if (!this.#begun) {
      const begin = bytes.indexOf(LOG_BEGINS)
      const text = begin < 0 ? bytes : bytes.subarray(0, begin)
      this.before = (this.before + text.toString('utf8')).slice(-KEPT_BEFORE)
      if (begin < 0) return
      this.#begun = true
      log = bytes.subarray(begin + LOG_BEGINS.length)
    }
    if (log.length > 0) this.#onLog(log)
  }
}

/** What stands before the last line. */
export function resultMark(token: string): string {
  return `\x1e${token} `
}
