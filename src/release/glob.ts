import picomatch from 'picomatch'
import { type ByteString, fromByteString } from '../ssh/byte-string.ts'

/**
 * Whether a path matches one of the globs. As with .gitignore and rsync, a glob without a slash means a name in any
 * folder; one with a slash the whole path. Names that begin with a dot are matched like others.
 */
export function pathMatcher(globs: readonly string[]): (path: ByteString) => boolean {
  const matchers = globs.map((glob) => {
    const trimmed = glob.replace(/^\.?\//, '').replace(/\/+$/, '')
    const anywhere = !glob.replace(/\/+$/, '').includes('/')
    return picomatch(anywhere ? [trimmed, `**/${trimmed}`] : trimmed, {
      dot: true,
      nonegate: true,
      flags: 's',
    })
  })
  return (path) => {
    const text = fromByteString(path)
    return matchers.some((matches) => matches(text))
  }
}
