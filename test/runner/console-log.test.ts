import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { inert } from '../../src/runner/console-log.ts'
import { defaultRelease, readGitHubContext } from '../../src/runner/github-context.ts'
import { failureMarkdown, markdownTable, plainMarkdown } from '../../src/runner/summary.ts'

/** What the runner takes as a command (actions/runner, ActionCommand.cs: TryParseV2 and TryParse). */
const isCommand = (line: string) => /^[\s\u0085]*::/.test(line) || line.includes('##[')

describe('a line of the log', () => {
  test.each([
    '::set-output name=a::b',
    '  ::error::x',
    '\t::add-mask::x',
    '\u0085 ::add-mask::x',
    'a ##[error]x',
    '##[group]##[x]',
    'a\n::stop::',
    '\r\n::x::',
  ])('is no command: %j', (line) => {
    expect(isCommand(inert(line))).toBe(false)
    expect(inert(line)).not.toMatch(/[\r\n]/)
  })

  test.each([
    'plain text',
    'http://[::1]:8080/ is up',
    'a::b',
    '# [x]',
    '',
  ])('is shown as it is: %j', (line) => {
    expect(inert(line)).toBe(line)
  })

  test('is never a command, whatever it holds', () => {
    const pieces = fc.constantFrom(
      ':',
      '::',
      '#',
      '##',
      '[',
      ' ',
      '\n',
      '\r',
      '\t',
      '\u200b',
      '\u0085',
      'error',
      ']',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        expect(isCommand(inert(parts.join('')))).toBe(false)
      }),
    )
  })
})

describe('a summary', () => {
  test('shows markup and does not obey it', () => {
    expect(plainMarkdown('<img src=x> **b** [a](b) `c` | @team')).not.toMatch(/[<*[\]`|@]/)
    expect(plainMarkdown('a\nb')).toBe('a<br>b')
    expect(plainMarkdown('web1.example.com: 200')).toBe('web1.example.com: 200')
  })

  test('has a table whose cells stay cells', () => {
    const lines = markdownTable(['a', 'b'], [['x | y', 'z\n| q |']]).split('\n')
    expect(lines).toHaveLength(3)
    expect(lines[2]?.match(/\|/g)).toHaveLength(3)
  })
})

describe('the context of a run', () => {
  const env = { GITHUB_SHA: 'abcdef0123', GITHUB_RUN_ID: '42', GITHUB_REPOSITORY: 'o/r' }

  test('gives the page of the run and the release', () => {
    const context = readGitHubContext({ ...env, GITHUB_SERVER_URL: 'https://ghe.example.com' })
    expect(context.runUrl).toBe('https://ghe.example.com/o/r/actions/runs/42')
    expect(defaultRelease(context)).toBe('abcdef0-42')
  })

  test('is usable outside of a runner', () => {
    const context = readGitHubContext({})
    expect(context).toMatchObject({ runUrl: '', apiUrl: 'https://api.github.com', runAttempt: '1' })
    expect(defaultRelease(context)).toBe('manual-0')
  })
})

test('a failure tells all of itself in the summary, and nothing in it is markup', () => {
  const failure = new Failure('it <b>broke</b>', {
    host: 'web1',
    seen: '| a | `b`',
    state: 'as before',
    hint: 'look',
  })
  const text = failureMarkdown(failure)
  expect(text).toMatch(/^### Failed: it &lt;b>broke/)
  expect(text).toContain('web1: it')
  expect(text).toContain('Seen: &#124; a &#124; &#96;b&#96;')
  expect(text).toContain('<br>What to do: look')
})
