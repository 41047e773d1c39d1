/** Release ids are folder names on the server: plain ones, so that they can be listed and typed. */
export function releaseProblem(release: string): string | undefined {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(release)) return undefined
  return `is '${release}': write up to 100 letters, digits, dots, dashes and underscores, the first a letter or digit`
}

/** Checks the site's root on the server; returns what is wrong with it, or undefined. */
export function targetProblem(target: string): string | undefined {
  if (/\p{Cc}/u.test(target)) return 'holds a control character'
  if (target.startsWith('~')) return `is '${target}': write the whole path, '~' is not expanded`
  if (!target.startsWith('/')) return `is '${target}', a relative path: write one that begins with /`
  const parts = target.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) return `is '${target}': '..' is not allowed in it`
  if (parts.length === 0) return "is '/': write the folder of the site"
  return undefined
}

/** The one spelling of a target that `targetProblem` accepts. */
export function normalTarget(target: string): string {
  return `/${target
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`
}

/** Checks a path of `linked`. */
export function linkedProblem(path: string): string | undefined {
  if (/\p{Cc}/u.test(path) || path.startsWith('/')) return 'write a path relative to the site'
  const parts = path.replace(/\/$/, '').split('/')
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    return "write it without '.', '..' and empty parts"
  }
  return undefined
}
