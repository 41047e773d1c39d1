import { parseDuration } from '../duration.ts'
import { Failure } from '../failure.ts'

/** A step's inputs from the JSON of its `inputs` context; undefined where that is none. */
export function parseInputs(json: string | undefined): Record<string, string> | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(json ?? '')
  } catch {
    // Its message shows a part of the text, in which there may be secrets.
    return undefined
  }
  return Object.fromEntries(
    Object.entries(parsed as Record<string, unknown>).map(([name, value]) => [name, String(value ?? '')]),
  )
}

/**
 * Reads a step's inputs and collects everything that is wrong with them, so that all of it is reported at once.
 * Each method returns a value of its type even for a bad input; `finish` throws before any such value is used.
 * Defaults live in action.yml alone.
 */
export class InputReader {
  readonly #values: ReadonlyMap<string, string>
  readonly #mask: (secret: string) => void
  readonly #read = new Set<string>()
  readonly #problems: string[] = []

  constructor(values: Readonly<Record<string, string>>, mask: (secret: string) => void) {
    // The runner takes names in any case and hands them over as the caller wrote them.
    this.#values = new Map(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value]))
    this.#mask = mask
  }

  /** Text without surrounding white space; '' when the input is empty. */
  text(name: string): string {
    this.#read.add(name)
    return (this.#values.get(name) ?? '').trim()
  }

  /** The text, or undefined when the input is empty. */
  optional(name: string): string | undefined {
    return this.text(name) || undefined
  }

  required(name: string): string {
    const value = this.text(name)
    if (value === '') this.problem(name, 'is required and empty')
    return value
  }

  /** A value from `secrets`, masked at once. Surrounding white space is kept: it may belong to a key. */
  secret(name: string, { required = false } = {}): string {
    this.#read.add(name)
    const value = this.#values.get(name) ?? ''
    if (value.trim() !== '') {
      this.#mask(value)
      return value
    }
    if (required) {
      this.problem(
        name,
        'is required and empty: the secret it comes from does not exist in this repository or environment (or the run was started from a fork, which gets no secrets)',
      )
    }
    return ''
  }

  /** YAML 1.2's booleans. */
  boolean(name: string): boolean {
    const value = this.text(name)
    if (/^(true|True|TRUE)$/.test(value)) return true
    if (!/^(false|False|FALSE)$/.test(value)) this.problem(name, `is '${value}': write true or false`)
    return false
  }

  integer(name: string, { min, max }: { min: number; max: number }): number {
    const value = this.text(name)
    const number = Number(value)
    if (/^\d{1,9}$/.test(value) && number >= min && number <= max) return number
    this.problem(name, `is '${value}': write a whole number from ${min} to ${max}`)
    return min
  }

  /** Milliseconds. */
  duration(name: string): number {
    const value = this.text(name)
    const ms = parseDuration(value)
    if (ms === undefined) this.problem(name, `is '${value}': write a duration such as 500ms, 10s, 2m or 1h`)
    return ms ?? 0
  }

  choice<T extends string>(name: string, choices: readonly [T, ...T[]]): T {
    const value = this.text(name)
    const found = choices.find((choice) => choice === value)
    if (found === undefined) this.problem(name, `is '${value}': write one of ${choices.join(', ')}`)
    return found ?? choices[0]
  }

  /** One item a line; blank lines and lines that begin with # do not count. */
  lines(name: string): string[] {
    return this.text(name)
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'))
  }

  /**
   * `KEY=VALUE` lines as an environment; the values are kept as they are. A value of several lines is written as in
   * GITHUB_ENV: `KEY<<END`, its lines, and a line `END`.
   */
  environment(name: string): Record<string, string> {
    const env: Record<string, string> = {}
    const lines = this.text(name).split(/\r?\n/)
    for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
      const text = line.trim()
      if (text === '' || text.startsWith('#')) continue
      const [, key, sign, rest = ''] = /^([A-Za-z_][A-Za-z0-9_]*)(=|<<)(.*)$/.exec(text) ?? []
      if (key === undefined) this.problem(name, `'${text.split('=')[0]}' is not a KEY=VALUE line`)
      else if (sign === '=') env[key] = rest
      else {
        const end = lines.findIndex((one) => one.trim() === rest)
        if (rest === '' || end < 0)
          this.problem(name, `begins ${key}<<${rest} and has no line '${rest}' that ends it`)
        env[key] = lines.splice(0, end < 0 ? lines.length : end).join('\n')
        lines.shift()
      }
    }
    return env
  }

  /** An input that this version does not serve: anything but the value that asks for nothing is refused. */
  unserved(name: string, idle: readonly string[] = ['']): void {
    const value = this.text(name)
    if (!idle.includes(value)) {
      const allowed = idle.map((one) => (one === '' ? 'nothing' : `'${one}'`)).join(' or ')
      this.problem(name, `is '${value}', which this version of the action cannot do: write ${allowed}`)
    }
  }

  /** Notes that an input is wrong. `what` completes the sentence that begins with the input's name. */
  problem(name: string, what: string): void {
    this.#problems.push(`\`${name}\` ${what}`)
  }

  /** Throws one `Failure` with all problems, unknown inputs among them. */
  finish(): void {
    for (const name of this.#values.keys()) {
      if (this.#read.has(name)) continue
      const near = [...this.#read].filter((known) => distance(known, name) <= 2)
      const hint = near.length > 0 ? `did you mean ${near.map((one) => `\`${one}\``).join(' or ')}?` : ''
      this.#problems.push(`\`${name}\` is not an input of this action${hint && `: ${hint}`}`)
    }
    if (this.#problems.length === 0) return
    throw new Failure(`${this.#problems.length === 1 ? 'an input is' : 'some inputs are'} wrong`, {
      seen: this.#problems.map((problem) => `\n  - ${problem}`).join(''),
      state: 'no connection was made and nothing was changed.',
      hint: "correct the step's `with:` block; the README of the action lists its inputs",
    })
  }
}

/** Levenshtein distance, for hints only. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
