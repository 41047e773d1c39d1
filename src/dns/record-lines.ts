import { nameInZone } from './domain-name.ts'
import { isRecordType, parseValue, RECORD_TYPES, type RecordChange, type RecordType } from './record.ts'

export interface ParsedLines {
  readonly changes: readonly RecordChange[]
  /** What is wrong, each a sentence about a line. */
  readonly problems: readonly string[]
}

const MAX_LINES = 500
const MAX_VALUES = 32

/** Parses lines of `<name> <type> <old> -> <new>`, several values with commas. */
export function parseRecordLines(lines: readonly string[], zone: string): ParsedLines {
  if (lines.length > MAX_LINES) {
    return { changes: [], problems: [`has ${lines.length} lines, more than ${MAX_LINES}`] }
  }
  const changes: RecordChange[] = []
  const problems: string[] = []
  for (const line of lines) {
    const parsed = parseLine(line, zone)
    if (typeof parsed === 'string') problems.push(`line '${shown(line)}': ${parsed}`)
    else changes.push(parsed)
  }
  return { changes, problems: [...problems, ...clashes(changes)] }
}

function parseLine(line: string, zone: string): RecordChange | string {
  const match = /^(\S+)\s+(\S+)\s+([^>]+?)\s*->\s*([^>]+)$/.exec(line)
  if (!match) return 'write <name> <type> <old> -> <new>, as in: www A 192.0.2.1 -> 192.0.2.2'
  const [, name = '', type = '', from = '', to = ''] = match
  if (name.startsWith('*')) return 'a wildcard is not changed: name each name by itself'
  const absolute = nameInZone(name, zone)
  if (absolute === undefined) {
    return `'${shown(name)}' is not a name of the zone ${zone} (write names with other letters in punycode, xn--...)`
  }
  const known = type.toUpperCase()
  if (!isRecordType(known)) {
    return `only ${RECORD_TYPES.join(', ')} records are changed: an alias, weighted or geo record is not`
  }
  const before = parseValues(known, from)
  const after = parseValues(known, to)
  if (typeof before === 'string') return before
  if (typeof after === 'string') return after
  if (known === 'CNAME' && after[0] === absolute) return 'a CNAME cannot point at itself'
  return { name: absolute, type: known, from: before, to: after }
}

const WANTED: Readonly<Record<RecordType, string>> = {
  A: 'an IPv4 address that a machine can have',
  AAAA: 'an IPv6 address that a machine can have',
  CNAME: 'a full host name',
}

/** Canonical values, or what is wrong with them. */
function parseValues(type: RecordType, text: string): string[] | string {
  const values: string[] = []
  for (const part of text.split(',').map((one) => one.trim())) {
    const value = parseValue(type, part)
    if (value === undefined) return `'${shown(part)}' is not ${WANTED[type]}, as ${type} needs`
    if (values.includes(value)) return `${value} stands there twice`
    values.push(value)
  }
  if (type === 'CNAME' && values.length > 1) return 'a CNAME has one value'
  return values.length > MAX_VALUES ? `has more than ${MAX_VALUES} values` : values
}

/** Lines that cannot be meant together. */
function clashes(changes: readonly RecordChange[]): string[] {
  const problems: string[] = []
  for (const [index, { name, type }] of changes.entries()) {
    const earlier = changes.slice(0, index).filter((other) => other.name === name)
    if (earlier.some((other) => other.type === type)) problems.push(`${name} ${type} stands there twice`)
    else if (earlier.some((other) => (other.type === 'CNAME') !== (type === 'CNAME'))) {
      problems.push(`${name} cannot have a CNAME and addresses`)
    }
  }
  return problems
}

const shown = (text: string) => (text.length > 100 ? `${text.slice(0, 100)}...` : text)
