/**
 * The order in which names go: the canary names, then waves of twice as many names each, so that few names are at stake
 * while little is known, and many names take few waves. A canary of 0: all together.
 */
export function wavesOf(names: readonly string[], canary: number): string[][] {
  const waves: string[][] = []
  const first = canary === 0 ? names.length : canary
  for (let from = 0, size = first; from < names.length; from += size, size *= 2) {
    waves.push(names.slice(from, from + size))
  }
  return waves
}
