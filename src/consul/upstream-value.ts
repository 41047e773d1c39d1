import { Buffer } from 'node:buffer'

/** The module reads values into a buffer of 1,024 bytes; longer ones overrun it. */
export const LONGEST_VALUE_BYTES = 1_000

/** The field that says which drain of ours a value belongs to. upsync ignores fields that it does not know. */
export const OWNER_FIELD = 'evenkeel'

export interface UpstreamValue {
  /** Whether nginx-upsync takes the node for down. */
  readonly down: boolean
  /** The drain of ours that it is in, if any. */
  readonly owner: string | undefined
}

/** A top-level member of a JSON object and where it stands in the text. */
interface Member {
  readonly name: string
  readonly value: unknown
  readonly valueStart: number
  readonly end: number
}

/**
 * Reads a value as nginx-upsync does. Returns what is wrong with it as a string: upsync takes anything that is no
 * JSON object for "up", so such a value must not be edited, nor counted on.
 */
export function parseValue(text: string): UpstreamValue | string {
  const members = membersOf(text)
  if (typeof members === 'string') return members
  const owner = members.find(({ name }) => name === OWNER_FIELD)?.value
  return {
    down: isDown(members.find(({ name }) => name === 'down')?.value),
    owner: typeof owner === 'string' ? owner : undefined,
  }
}

/** Down is `1`, `true`, `"1"` and `1.5`, which C cuts to 1; everything else is up (measured with upsync 801bc5d). */
function isDown(value: unknown): boolean {
  if (typeof value === 'number') return Math.trunc(value) === 1
  if (typeof value === 'string') return /^0*1$/.test(value)
  return value === true
}

/**
 * The text with `down` set to 1 and the owner noted; all else stays as it is, byte for byte. Returns undefined when
 * the result would be longer than upsync can take. Throws on a value that `parseValue` refuses.
 */
export function drainedValue(text: string, owner: string): string | undefined {
  const problem = parseValue(text)
  if (typeof problem === 'string') throw new TypeError(problem)
  const edited = setMember(setMember(text, 'down', '1'), OWNER_FIELD, JSON.stringify(owner))
  return Buffer.byteLength(edited) > LONGEST_VALUE_BYTES ? undefined : edited
}

function setMember(text: string, name: string, json: string): string {
  const members = scanMembers(text)
  const member = members.find((one) => one.name === name)
  if (member) return text.slice(0, member.valueStart) + json + text.slice(member.end)
  const last = members.at(-1)
  const at = last?.end ?? text.indexOf('{') + 1
  return `${text.slice(0, at)}${last ? ',' : ''}${JSON.stringify(name)}:${json}${text.slice(at)}`
}

function membersOf(text: string): Member[] | string {
  if (Buffer.byteLength(text) > LONGEST_VALUE_BYTES) {
    return `is longer than ${LONGEST_VALUE_BYTES} bytes, which overruns nginx-upsync`
  }
  const parsed = parseObject(text)
  if (parsed === undefined) return 'is not a JSON object, which nginx-upsync takes for up'
  const members = scanMembers(text)
  const names = members.map(({ name }) => name.toLowerCase())
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  // upsync's parser finds names whatever their case, the first one wins.
  if (twice !== undefined) return `has the field '${twice}' twice`
  const odd = members.find(({ name }) => name !== 'down' && name.toLowerCase() === 'down')
  if (odd) return `spells 'down' as '${odd.name}'`
  return members
}

function parseObject(text: string): object | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

/** The top-level members of a text that is known to be a JSON object. */
function scanMembers(text: string): Member[] {
  const members: Member[] = []
  // Strings, and the characters that structure what is outside of them.
  const tokens = [...text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)]
  let depth = 0
  let name: string | undefined
  let valueStart = -1
  const close = (at: number) => {
    if (name === undefined || valueStart < 0) return
    const raw = text.slice(valueStart, at)
    const start = valueStart + (raw.length - raw.trimStart().length)
    members.push({ name, value: JSON.parse(raw), valueStart: start, end: start + raw.trim().length })
    name = undefined
    valueStart = -1
  }
  for (const { 0: token, index } of tokens) {
    if (depth === 1 && (token === ',' || token === '}')) close(index)
    if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
    else if (depth === 1 && token === ':') valueStart = index + 1
    else if (depth === 1 && token.startsWith('"') && name === undefined) name = JSON.parse(token) as string
  }
  return members
}
