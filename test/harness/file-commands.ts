// The files that a step writes for the runner (GITHUB_OUTPUT and the like), parsed as the runner does it.

/** Raised at a line that the runner cannot read; the pairs before it count nevertheless. */
export class FileCommandError extends Error {}

/** `NAME=VALUE` lines and `NAME<<DELIMITER` blocks, one by one. */
export function* parsePairs(text: string): Generator<[name: string, value: string]> {
  let at = 0
  const next = (): { line: string; ended: boolean } | undefined => {
    if (at >= text.length) return undefined
    const newline = text.indexOf('\n', at)
    const line = text.slice(at, newline < 0 ? text.length : newline)
    at = newline < 0 ? text.length : newline + 1
    return { line, ended: newline >= 0 }
  }
  for (let read = next(); read; read = next()) {
    const { line } = read
    if (line === '') continue
    const equals = line.indexOf('=')
    const heredoc = line.indexOf('<<')
    if (equals >= 0 && (heredoc < 0 || equals < heredoc)) {
      yield [line.slice(0, equals), line.slice(equals + 1)]
    } else if (heredoc >= 0) {
      const name = line.slice(0, heredoc)
      const delimiter = line.slice(heredoc + 2)
      if (name === '' || delimiter === '') {
        throw new FileCommandError(
          `Invalid format '${line}'. Name must not be empty and delimiter must not be empty`,
        )
      }
      const start = at
      let end = at
      for (let block = next(); block?.line !== delimiter; block = next()) {
        if (!block) throw new FileCommandError(`Invalid value. Matching delimiter not found '${delimiter}'`)
        if (!block.ended) throw new FileCommandError('Invalid value. EOF marker missing new line.')
        end = at - 1
      }
      yield [name, text.slice(start, Math.max(start, end))]
    } else {
      throw new FileCommandError(`Invalid format '${line}'`)
    }
  }
}
