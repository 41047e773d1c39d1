/** Inclusive range of HTTP statuses. */
export interface StatusRange {
  readonly from: number
  readonly to: number
}

/** What counts as healthy, before it is known where. */
export type HealthCheck =
  | {
      readonly kind: 'http'
      /** May hold placeholders. */
      readonly url: string
      readonly expectStatus: readonly StatusRange[]
      readonly expectBody: string | undefined
    }
  | { readonly kind: 'tcp'; readonly port: number }
  | { readonly kind: 'command'; readonly command: string }

/** What `{...}` in a URL stands for. Values come from validated addresses only. */
export type Placeholders = Readonly<Partial<Record<'address' | 'ip' | 'port' | 'name', string>>>

/** Parses `200`, `200-399` or `200,301-302`; undefined when it is anything else. */
export function parseStatusRanges(text: string): StatusRange[] | undefined {
  const ranges = text.split(',').map((part) => {
    const match = /^\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*$/.exec(part)
    return match && { from: Number(match[1]), to: Number(match[2] ?? match[1]) }
  })
  return ranges.every((range) => range !== null && range.from <= range.to)
    ? (ranges as StatusRange[])
    : undefined
}

/**
 * Checks a URL with placeholders; returns what is wrong with it, or undefined.
 * `known` are the placeholders that have a value where the URL will be used.
 */
export function urlProblem(url: string, known: readonly (keyof Placeholders)[]): string | undefined {
  for (const [placeholder, name] of url.matchAll(/\{([^{}]*)\}/g)) {
    if (!known.some((one) => one === name)) {
      const list = known.map((one) => `{${one}}`).join(', ')
      return `'${placeholder}' is not a placeholder here${list ? ` (there are ${list})` : ''}`
    }
  }
  const samples = { address: '192.0.2.1:80', ip: '192.0.2.1', port: '80', name: 'node' }
  const parsed = URL.canParse(expandUrl(url, samples)) ? new URL(expandUrl(url, samples)) : undefined
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:')
    return 'is not an http:// or https:// URL'
  if (parsed.username || parsed.password) return 'must not hold a user or password'
  return undefined
}

/** Puts the values into a URL that `urlProblem` has accepted. */
export function expandUrl(url: string, values: Placeholders): string {
  return url.replaceAll(/\{(\w+)\}/g, (whole, name: string) => values[name as keyof Placeholders] ?? whole)
}
