import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { IN_PLACE_CODE } from '../../src/release/in-place-code.ts'
import { RELEASES_CODE } from '../../src/release/releases-code.ts'
import { COMMON_CODE } from '../../src/release/remote-code.ts'
import { compactScript } from '../../src/ssh/compact-script.ts'

test('leaves out comments, empty lines and indentation', () => {
  const script = "\n# one's own\nf() {\n  if true; then\n    # why\n    say '  # kept' # this too\n  fi\n}\n"
  expect(compactScript(script)).toBe("f() {\nif true; then\nsay '  # kept' # this too\nfi\n}")
})

const blocks = Object.entries({ COMMON_CODE, RELEASES_CODE, IN_PLACE_CODE }).flatMap(([name, code]) =>
  (['begin', 'rest'] as const).map((part) => [`${name}.${part}`, code[part]] as const),
)

/** The script as bash has read it: each command as it would be run. */
function asRead(script: string): string {
  return execFileSync('bash', ['-c', 'eval "$1"; declare -f whole', 'bash', `whole() {\n${script}\n}`], {
    encoding: 'utf8',
  })
}

test.each(blocks)('%s means the same without them', (_name, code) => {
  const compact = compactScript(code)
  expect(compact.length).toBeLessThan(code.length)
  expect(asRead(code)).toContain('\n')
  expect(asRead(compact)).toBe(asRead(code))
})
