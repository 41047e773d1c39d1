import type { ByteString } from './byte-string.ts'

const KEEP_NOISE = 64 * 1024

export interface RecordSinks {
  onRecord(name: string, value: ByteString): void
  onData(name: string, bytes: Buffer): void
  onGone(): void
}

interface Frame {
  readonly name: string
  readonly bytes: number
  readonly chunks: Buffer[]
  have: number
}

/** Splits a shell's output into records, frames of bytes, and the rest. */
export class RecordParser {
  readonly #mark: string
  readonly #sinks: RecordSinks
  #pending: Buffer = Buffer.alloc(0)
  #frame: Frame | undefined
  noise = ''

  constructor(mark: string, sinks: RecordSinks) {
    this.#mark = `${mark} `
    this.#sinks = sinks
  }

  push(chunk: Buffer): void {
    let rest = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk
    this.#pending = Buffer.alloc(0)
    for (;;) {
      if (this.#frame !== undefined) {
        rest = this.#fill(this.#frame, rest)
        if (this.#frame !== undefined) return
      }
      const end = rest.indexOf(10)
      if (end < 0) {
        this.#pending = rest
        return
      }
      this.#line(rest.subarray(0, end).toString('latin1'))
      rest = rest.subarray(end + 1)
    }
  }

  end(): void {
    this.noise += this.#pending.toString('latin1')
    this.#sinks.onGone()
  }

  #fill(frame: Frame, from: Buffer): Buffer {
    const part = from.subarray(0, frame.bytes - frame.have)
    frame.chunks.push(part)
    frame.have += part.length
    if (frame.have === frame.bytes) {
      this.#frame = undefined
      this.#sinks.onData(frame.name, Buffer.concat(frame.chunks))
    }
    return from.subarray(part.length)
  }

  #line(line: ByteString): void {
    // Output that does not end in a newline stands before the mark.
    const at = line.indexOf(this.#mark)
    if (at < 0) {
      this.noise = `${this.noise}${line}\n`.slice(-KEEP_NOISE)
      return
    }
    this.noise += line.slice(0, at)
    const record = line.slice(at + this.#mark.length)
    const space = record.indexOf(' ')
    const name = space < 0 ? record : record.slice(0, space)
    const value = space < 0 ? '' : record.slice(space + 1)
    const frame = name === 'data' ? /^(\S+) (\d+)$/.exec(value) : null
    if (frame?.[1] === undefined) this.#sinks.onRecord(name, value)
    else this.#frame = { name: frame[1], bytes: Number(frame[2]), chunks: [], have: 0 }
  }
}
