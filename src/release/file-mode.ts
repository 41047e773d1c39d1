/** Gives a file's or folder's permission bits, from those it has. */
export type ModeChange = (mode: number, isFolder: boolean) => number

const SHIFTS = { u: 6, g: 3, o: 0 } as const

/**
 * Parses `chmod` as the command takes it: `644` (folders get the right to enter wherever they can be read),
 * or `u=rwX,go=rX`. Undefined when it is neither.
 */
export function parseModeChange(text: string): ModeChange | undefined {
  if (/^0?[0-7]{3}$/.test(text)) {
    const mode = Number.parseInt(text, 8)
    return (_mode, isFolder) => (isFolder ? mode | ((mode & 0o444) >> 2) : mode)
  }
  const clauses = text.split(',').map((clause) => /^([ugoa]*)([-+=])([rwxX]*)$/.exec(clause))
  if (clauses.some((clause) => clause === null)) return undefined
  return (mode, isFolder) =>
    clauses.reduce(
      (bits, clause) => applyClause(bits, isFolder, clause?.[1] ?? '', clause?.[2] ?? '', clause?.[3] ?? ''),
      mode,
    )
}

function applyClause(mode: number, isFolder: boolean, who: string, operator: string, rights: string): number {
  const mayRun = rights.includes('x') || (rights.includes('X') && (isFolder || (mode & 0o111) !== 0))
  const bits = (rights.includes('r') ? 4 : 0) | (rights.includes('w') ? 2 : 0) | (mayRun ? 1 : 0)
  const all = who === '' || who.includes('a')
  let result = mode
  for (const [letter, shift] of Object.entries(SHIFTS)) {
    if (!all && !who.includes(letter)) continue
    if (operator === '=') result &= ~(7 << shift)
    if (operator === '-') result &= ~(bits << shift)
    else result |= bits << shift
  }
  return result
}

/** A folder that the deploying user cannot write to could neither be filled nor removed. */
export function effectiveMode(mode: number, isFolder: boolean, change: ModeChange | undefined): number {
  const bits = change === undefined ? mode & 0o777 : change(mode & 0o777, isFolder)
  return bits | (isFolder ? 0o700 : 0o400)
}
