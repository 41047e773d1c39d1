/** What a deploy is asked to bring: a commit, or a name that is looked up in the repository. */
export type Ref =
  | { readonly kind: 'sha'; readonly sha: string }
  | { readonly kind: 'name'; readonly name: string }

/** Parses a full commit id, a branch, a tag or a whole ref name; returns what is wrong as a string. */
export function parseRef(text: string): Ref | string {
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/i.test(text)) return { kind: 'sha', sha: text.toLowerCase() }
  const problem = refNameProblem(text)
  return problem === undefined ? { kind: 'name', name: text } : problem
}

/** The rules of `git check-ref-format --branch`; a name that keeps them holds no pattern or option. */
function refNameProblem(name: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const forbidden = /^$|[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|\.lock(\/|$)|(^|\/)\.|\.$|^\/|\/$|^-|^@$/
  const found = forbidden.exec(name)
  if (found === null) return undefined
  return `'${name}' is not the name of a branch or tag, nor a full commit id: ${found[0] === '' ? 'it is empty' : `git forbids '${found[0]}' there`}`
}

/** One line of `git ls-remote`. */
export interface AdvertisedRef {
  readonly sha: string
  readonly name: string
}

/** Parses the output of `git ls-remote`. */
export function parseLsRemote(text: string): AdvertisedRef[] {
  return text.split('\n').flatMap((line) => {
    const match = /^([0-9a-f]{40,64})\t(.+)$/.exec(line)
    return match?.[1] && match[2] ? [{ sha: match[1], name: match[2] }] : []
  })
}

/** The full names that a short name may stand for. */
export function candidates(name: string): string[] {
  return name.startsWith('refs/') ? [name] : [`refs/heads/${name}`, `refs/tags/${name}`]
}

/** The one commit that a name stands for, or what is wrong as a string. */
export function chooseCommit(name: string, advertised: readonly AdvertisedRef[]): { sha: string } | string {
  const find = (full: string) => advertised.find((ref) => ref.name === full)?.sha
  const found = candidates(name).filter((full) => find(full) !== undefined)
  const [first, second] = found
  if (first === undefined) {
    const short = /^[0-9a-f]{4,39}$/i.test(name) ? ' (a commit id must be given in full, 40 digits)' : ''
    return `there is no branch or tag '${name}' in the repository${short}`
  }
  if (second !== undefined) return `'${name}' is both a branch and a tag: write ${first} or ${second}`
  // An annotated tag is an object of its own; ^{} is the commit that it stands for.
  return { sha: find(`${first}^{}`) ?? find(first) ?? '' }
}
