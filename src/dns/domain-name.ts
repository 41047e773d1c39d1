/** A label of a host name, or one with underscores as in `_dmarc`; lower case. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** A domain name in lower case without its final dot; undefined when the text is none (punycode only, no `*`). */
export function parseDomain(text: string): string | undefined {
  // Some other letters have an ASCII letter as their lower case (the Kelvin sign a k).
  if (/[^\x21-\x7e]/.test(text)) return undefined
  const name = text.toLowerCase().replace(/\.$/, '')
  const labels = name.split('.')
  return name.length <= 253 && labels.every((label) => LABEL.test(label)) ? name : undefined
}

/**
 * A name of a zone as people write it: `@`, absolute (final dot, or ending in the zone), or relative to the zone.
 * Undefined when it is no name, or is absolute and of another zone.
 */
export function nameInZone(text: string, zone: string): string | undefined {
  if (text === '@') return zone
  const name = parseDomain(text)
  if (name === undefined || isWithin(name, zone)) return name
  return text.endsWith('.') ? undefined : parseDomain(`${name}.${zone}`)
}

export function isWithin(name: string, zone: string): boolean {
  return name === zone || name.endsWith(`.${zone}`)
}

/** The names whose wildcard may answer for a name that has no records: the closest first. */
export function wildcardsAbove(name: string, zone: string): string[] {
  const above: string[] = []
  for (let parent = name; parent !== zone; ) {
    parent = parent.slice(parent.indexOf('.') + 1)
    above.push(`*.${parent}`)
  }
  return above
}

/** The name and those above it, up to the zone's apex, which is not among them. */
export function upToZone(name: string, zone: string): string[] {
  const names: string[] = []
  for (let at = name; at !== zone; at = at.slice(at.indexOf('.') + 1)) names.push(at)
  return names
}
