/**
 * A shell script of ours without comment lines, empty lines and indentation, which a remote shell would read byte by
 * byte. Only for constant code in which no quoted text and no here-document goes over several lines. Pure.
 */
export function compactScript(script: string): string {
  return script
    .split('\n')
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n')
}
