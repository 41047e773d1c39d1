/**
 * One argument for a POSIX shell, whatever it holds: the only way by which a value gets into a remote script.
 * Throws on a NUL byte, which no argument can carry.
 */
export function quote(argument: string): string {
  if (argument.includes('\0')) throw new TypeError('a shell argument cannot hold a NUL byte')
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`
}

/** Several arguments, each quoted, with spaces between. */
export function quoteAll(args: readonly string[]): string {
  return args.map(quote).join(' ')
}
