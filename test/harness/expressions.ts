// `${{ }}` as GitHub's own evaluator computes it, with the contexts a composite action has.
import { data, Evaluator, Lexer, Parser } from '@actions/expressions'

export type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain }

/** The contexts by name, for example `{ inputs: { host: 'a' }, github: { sha: '...' } }`. */
export type Contexts = Record<string, Plain>

/** What `success()`, `failure()`, `cancelled()` and `always()` answer. */
export interface Status {
  success: boolean
  failure: boolean
  cancelled: boolean
}

function toData(value: Plain): data.ExpressionData {
  return JSON.parse(JSON.stringify(value), data.reviver) as data.ExpressionData
}

function evaluate(expression: string, contexts: Contexts, status?: Status): data.ExpressionData {
  const statusFunctions = status ? Object.entries({ ...status, always: true }) : []
  const functions = statusFunctions.map(([name, answer]) => ({
    name,
    minArgs: 0,
    maxArgs: 0,
    call: () => new data.BooleanData(answer),
  }))
  try {
    const parsed = new Parser(new Lexer(expression).lex().tokens, Object.keys(contexts), functions).parse()
    const dictionary = new data.Dictionary(
      ...Object.entries(contexts).map(([key, value]) => ({ key, value: toData(value) })),
    )
    return new Evaluator(parsed, dictionary, new Map(functions.map((f) => [f.name, f]))).evaluate()
  } catch (error) {
    throw new Error(`The expression '${expression}' is not valid: ${(error as Error).message}`)
  }
}

/** Splits text into literal parts and the expressions between `${{` and `}}`, minding quoted strings. */
function split(text: string): { literal?: string; expression?: string }[] {
  const parts: { literal?: string; expression?: string }[] = []
  let at = 0
  for (;;) {
    const start = text.indexOf('${{', at)
    if (start < 0) break
    let end = start + 3
    for (let quoted = false; quoted || !text.startsWith('}}', end); end++) {
      if (end >= text.length) throw new Error(`The expression is not closed: ${text.slice(start)}`)
      if (text[end] === "'") quoted = !quoted
    }
    if (start > at) parts.push({ literal: text.slice(at, start) })
    parts.push({ expression: text.slice(start + 3, end).trim() })
    at = end + 2
  }
  if (at < text.length) parts.push({ literal: text.slice(at) })
  return parts
}

/** The text with every `${{ }}` in it replaced; an object or list as a whole is an error, as for the runner. */
export function fill(text: string, contexts: Contexts, status?: Status): string {
  return split(text)
    .map(({ literal, expression }) => {
      if (expression === undefined) return literal ?? ''
      const value = evaluate(expression, contexts, status)
      if (!value.primitive) throw new Error(`'${expression}' is an object or a list where text is needed`)
      return value.coerceString()
    })
    .join('')
}

/** A step's `if`: `success() && (...)` unless it asks for the status itself. */
export function holds(condition: string | undefined, contexts: Contexts, status: Status): boolean {
  const parts = split(condition ?? '')
  if (parts.some((part) => part.expression !== undefined) && parts.length > 1) {
    // Literal text around an expression makes a string, and a string that is not empty is true.
    const asks = parts.some((part) => asksForStatus(part.expression ?? ''))
    return fill(condition ?? '', contexts, status) !== '' && (asks || status.success)
  }
  const expression = (parts[0]?.expression ?? parts[0]?.literal ?? '').trim()
  if (expression === '') return status.success
  const whole = asksForStatus(expression) ? expression : `success() && (${expression})`
  return evaluate(`(${whole}) && true || false`, contexts, status).coerceString() === 'true'
}

function asksForStatus(expression: string): boolean {
  return new Lexer(expression)
    .lex()
    .tokens.some(
      (token, at, tokens) =>
        /^(success|failure|cancelled|always)$/i.test(token.lexeme) && tokens[at + 1]?.lexeme === '(',
    )
}
