import { Buffer } from 'node:buffer'
import { StringDecoder } from 'node:string_decoder'

/** Output without newlines (a progress bar, a binary) is cut into lines of this many characters. */
const LONGEST_LINE = 65_536

/** Splits output into lines as it comes and keeps the last bytes of it. */
export class OutputTail {
  readonly #limit: number
  readonly #onLine: ((line: string) => void) | undefined
  readonly #decoder = new StringDecoder('utf8')
  #chunks: Buffer[] = []
  #bytes = 0
  #partial = ''

  constructor(limit: number, onLine: ((line: string) => void) | undefined) {
    this.#limit = limit
    this.#onLine = onLine
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    while (this.#bytes - (this.#chunks[0]?.length ?? 0) >= this.#limit && this.#chunks.length > 1) {
      this.#bytes -= this.#chunks.shift()?.length ?? 0
    }
    if (this.#onLine === undefined) return
    const lines = (this.#partial + this.#decoder.write(chunk)).split('\n')
    this.#partial = lines.pop() ?? ''
    if (this.#partial.length > LONGEST_LINE) {
      lines.push(this.#partial)
      this.#partial = ''
    }
    for (const line of lines) this.#onLine(line)
  }

  end(): void {
    if (this.#onLine !== undefined && this.#partial !== '') this.#onLine(this.#partial)
    this.#partial = ''
  }

  get text(): string {
    return Buffer.concat(this.#chunks).subarray(-this.#limit).toString('utf8')
  }
}
