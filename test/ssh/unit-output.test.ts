import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openScript } from '../../src/ssh/remote-script.ts'
import { LOG_BEGINS, resultMark, UnitOutput } from '../../src/ssh/unit-output.ts'

describe('what a followed unit prints', () => {
  const token = 'f00d'
  const take = (chunks: readonly Buffer[]) => {
    const log: Buffer[] = []
    const output = new UnitOutput(token, (bytes) => log.push(bytes))
    for (const chunk of chunks) output.push(chunk)
    return { before: output.before, log: Buffer.concat(log).toString('latin1'), result: output.result }
  }

  test('is taken apart the same way however it is cut', () => {
    // Among the log's bytes are beginnings of both marks, and marks of somebody else.
    const log = `one\n\x1etwo\x1e\x1ef00\x1e${LOG_BEGINS}\x1ebeef {}\n\xff\xfe${'x'.repeat(50)}\x1e`
    const whole = Buffer.from(
      `welcome \x1eevenkeel-lo${LOG_BEGINS}${log}${resultMark(token)}{"a":1}\nrest`,
      'latin1',
    )
    fc.assert(
      fc.property(fc.array(fc.nat(whole.length), { maxLength: 12 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), whole.length]
        const chunks = at.slice(1).map((end, index) => whole.subarray(at[index], end))
        expect(take(chunks)).toEqual({ before: 'welcome \x1eevenkeel-lo', log, result: '{"a":1}' })
      }),
    )
  })

  test('without a log has its result too; without a whole last line none', () => {
    expect(take([Buffer.from(`no\n12${resultMark(token)}{}\n`)])).toEqual({
      before: 'no\n12',
      log: '',
      result: '{}',
    })
    expect(take([Buffer.from(`${LOG_BEGINS}a${resultMark(token)}{`)])).toEqual({
      before: '',
      log: 'a',
      result: undefined,
    })
  })
})

test.each(['dash', 'bash'])('a script in its own command comes through %s as it is', (shell) => {
  const strange = `it's "quoted" $HOME \`id\` \\n \\0101 %s ! ünï\t*\n`
  const text = `printf %s '${strange.replaceAll("'", `'\\''`)}'; cat`
  const withInput = ['-c', 'echo not for it | "$0" -c "$1"', shell, openScript(text)]
  expect(execFileSync('sh', withInput, { encoding: 'utf8' })).toBe(strange)
  expect(openScript(text)).toMatch(/^[\x20-\x7e]+$/)
})
