import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runAction, startAction } from './action-run.ts'

const fixture = (name: string): string => join(import.meta.dirname, 'fixtures', name)

function script(text: string, more: Partial<Parameters<typeof runAction>[0]> & { after?: string } = {}) {
  const { after, ...options } = more
  return runAction({
    action: fixture('script'),
    inputs: { script: text, ...(after === undefined ? {} : { after }) },
    ...options,
  })
}

describe('inputs', { timeout: 30_000 }, () => {
  test('defaults are evaluated, a missing required input is empty, types become text', async () => {
    const sha = 'a'.repeat(40)
    const result = await runAction({
      action: fixture('inputs'),
      inputs: { empty: '' },
      github: { sha, run_id: '77', token: 'ghs_secret_token' },
    })
    expect(result.conclusion).toBe('success')
    expect(JSON.parse(result.outputs['all']!)).toEqual({
      'host-name': '',
      token: 'ghs_secret_token',
      release: `v-${sha}-77`,
      flag: 'true',
      empty: '',
    })
    expect(result.annotations).toEqual([])
  })

  test('an unknown input is warned about and handed on; names are matched whatever their case', async () => {
    const result = await runAction({
      action: fixture('inputs'),
      inputs: { 'Host-Name': 'web', hots: 'typo' },
    })
    expect(result.annotations).toEqual([
      {
        level: 'warning',
        message:
          "Unexpected input(s) 'hots', valid inputs are ['host-name', 'token', 'release', 'flag', 'empty']",
        properties: {},
      },
    ])
    expect(JSON.parse(result.outputs['all']!)).toMatchObject({ 'Host-Name': 'web', hots: 'typo' })
    expect(JSON.parse(result.outputs['all']!)).not.toHaveProperty('host-name')
    expect(result.outputs['formatted']).toBe('web/2-true')
  })

  test('text in inputs that looks like an expression stays text', async () => {
    const expression = '${{ github.token }} \'"\n$(id)'
    const result = await runAction({
      action: fixture('inputs'),
      inputs: { 'host-name': expression },
    })
    expect(JSON.parse(result.outputs['all']!)['host-name']).toBe(expression)
  })

  test('a step runs in its working directory below the workspace', async () => {
    const result = await runAction({ action: fixture('inputs') })
    expect(result.outputs['directory']).toMatch(/_work\/site\/site\/below$/)
  })

  test('nested actions and unknown ones are refused', () => {
    expect(() => startAction({ action: fixture('nested') })).toThrow(/nested `uses` is not served/)
    expect(() => startAction({ action: 'no-such-action' })).toThrow(/No action.yml in .*no-such-action/)
  })
})

describe('environment', { timeout: 30_000 }, () => {
  test('a step gets the variables of the runner, the ones asked for and no others of the caller', async () => {
    process.env['EVENKEEL_TEST_LEAK'] = 'leaked'
    const result = await script('env; cat "$GITHUB_EVENT_PATH"', {
      env: { WANTED: 'yes' },
      github: { sha: 'b'.repeat(40), repository: 'me/app', run_id: '9', event: { ref: 'x' } },
    })
    delete process.env['EVENKEEL_TEST_LEAK']
    for (const line of [
      'WANTED=yes',
      'CI=true',
      'GITHUB_ACTIONS=true',
      `GITHUB_SHA=${'b'.repeat(40)}`,
      'GITHUB_REPOSITORY=me/app',
      'GITHUB_RUN_ID=9',
      'GITHUB_RUN_ATTEMPT=1',
      'GITHUB_SERVER_URL=https://github.com',
      'GITHUB_API_URL=https://api.github.com',
      'GITHUB_REF=refs/heads/main',
      'GITHUB_ACTOR=octocat',
      `GITHUB_ACTION_PATH=${fixture('script')}`,
      'RUNNER_OS=Linux',
      '{"ref":"x"}',
    ]) {
      expect(result.rawLog.split('\n')).toContain(line)
    }
    expect(result.rawLog).not.toContain('EVENKEEL_TEST_LEAK')
    expect(result.rawLog).not.toMatch(/^(INPUT_|GITHUB_TOKEN)/m)
  })

  test.for(['20', '24'] as const)('Node %s is first on PATH when asked for', async (node) => {
    const result = await script('node --version', { node })
    expect(result.rawLog).toMatch(new RegExp(`^v${node}\\.`))
  })

  test('GITHUB_ENV and GITHUB_PATH reach the next step, but cannot set what the runner sets', async () => {
    const result = await script(
      [
        'echo "GREETING=hello" >>"$GITHUB_ENV"',
        'echo "GITHUB_SHA=forged" >>"$GITHUB_ENV"',
        'echo "$RUNNER_TEMP/tools" >>"$GITHUB_PATH"',
        'mkdir "$RUNNER_TEMP/tools"',
        'printf "#!/bin/sh\\necho tool ran" >"$RUNNER_TEMP/tools/my-tool"; chmod +x "$RUNNER_TEMP/tools/my-tool"',
      ].join('\n'),
      { after: 'echo "$GREETING $GITHUB_SHA"; my-tool', github: { sha: 'c'.repeat(40) } },
    )
    expect(result.rawLog).toBe(`hello ${'c'.repeat(40)}\ntool ran`)
  })
})

describe('files and commands', { timeout: 30_000 }, () => {
  test('outputs: last one wins, values keep "=", "<<" and inner newlines', async () => {
    const result = await script(
      `printf 'answer=first\\nsum=1+1=2<<x\\nanswer<<END\\none\\n\\nEND of it\\ntwo\\nEND\\nnone<<E\\nE\\n' >>"$GITHUB_OUTPUT"`,
    )
    expect(result.outputs).toEqual({ answer: 'one\n\nEND of it\ntwo' })
    expect(result.steps[0]!.outputs).toMatchObject({ sum: '1+1=2<<x', none: '' })
  })

  test.for([
    ['answer=kept\\nno separator\\n', "Invalid format 'no separator'"],
    ['answer=kept\\nx<<END\\nbody\\n', "Invalid value. Matching delimiter not found 'END'"],
    ['answer=kept\\n<<END\\n', 'Name must not be empty'],
  ])('a malformed output file fails the step: %s', async ([text, error]) => {
    const result = await script(`printf '${text}' >>"$GITHUB_OUTPUT"`)
    expect(result.conclusion).toBe('failure')
    expect(result.outputs['answer']).toBe('kept')
    expect(result.annotations[1]!.message).toContain(error)
  })

  test('annotations carry level, text and properties; groups and debug lines show as in GitHub', async () => {
    const text = `exec >&2 # commands count on either stream
      echo '::error file=a.ts,line=3,title=Oh%2C no::it broke%0Abadly 100%25'
      echo '::warning::careful'
      echo '::notice title=x::fyi'
      echo '::group::Details'; echo inside; echo '::endgroup::'; echo '::debug::hidden'
      echo 'not ::error::in the middle'; echo '::unknown::thing'`
    const result = await script(text)
    const error = result.annotations.find((a) => a.level === 'error')
    expect(error).toEqual({
      level: 'error',
      message: 'it broke\nbadly 100%',
      properties: { file: 'a.ts', line: '3', title: 'Oh, no' },
      step: 'main',
    })
    expect(result.annotations.map((a) => a.level).sort()).toEqual(['error', 'notice', 'warning'])
    expect(result.log).toContain('##[error]it broke\nbadly 100%')
    expect(result.log).toContain('##[group]Details\ninside\n##[endgroup]')
    expect(result.log).toContain('not ::error::in the middle\n::unknown::thing')
    expect(result.log.split('\n')).not.toContain('##[debug]hidden')
    expect((await script(text, { debug: true })).log.split('\n')).toContain('##[debug]hidden')
  })

  test('stop-commands turns commands off until its token, and at most to the end of the step', async () => {
    const result = await script(
      "echo '::stop-commands::tok3n'; echo '::error::not one'; echo '::tok3n::'; echo '::error::one'; echo '::stop-commands::other'",
      { after: "echo '::notice::two'" },
    )
    expect(result.annotations.map((a) => a.message)).toEqual(['one', 'two'])
    expect(result.log).toContain('\n::error::not one\n')
  })

  test('the disabled commands fail the step', async () => {
    const result = await script("echo '::set-env name=A::b'")
    expect(result.conclusion).toBe('failure')
  })

  test('the summary is collected and masked, and refused above 1 MiB', async () => {
    const result = await script('echo "# Done with s3cr3t!" >>"$GITHUB_STEP_SUMMARY"', {
      secrets: { KEY: 's3cr3t!' },
      after: 'head -c 1048577 /dev/zero | tr "\\0" x >>"$GITHUB_STEP_SUMMARY"',
    })
    expect(result.summary).toBe('# Done with ***\n')
    expect(result.annotations[0]!.message).toMatch(/upload aborted, .* 1024k/)
  })
})

describe('masks', { timeout: 30_000 }, () => {
  test('secrets, each of their lines and their JSON form are hidden; the raw log keeps them', async () => {
    const key = 'BEGIN "quoted"\nline\\two\nEND OF KEY'
    const result = await script(
      'printf "%s\\n" "$KEY"; printf "%s\\n" "$JSON"; printf %s "$KEY" | base64 -w0',
      {
        env: { KEY: key, JSON: JSON.stringify({ key }) },
        secrets: { KEY: key },
      },
    )
    expect(result.rawLog).toContain('BEGIN "quoted"\nline\\two\nEND OF KEY')
    expect(result.log).toContain('\n***\n***\n***\n{"key":"***"}\n***')
    for (const part of ['quoted', 'two', 'END OF KEY']) expect(result.log).not.toContain(part)
  })

  test('add-mask hides from that line on, also in annotations; the token is hidden from the start', async () => {
    const result = await script(
      'echo before hunter2; echo "::add-mask::hunter2"; echo after hunter2; echo "::error title=hunter2::x hunter2"; echo "$TOKEN"',
      { github: { token: 'ghs_tok' }, env: { TOKEN: 'ghs_tok' } },
    )
    expect(result.log).toContain('\nbefore hunter2\nafter ***\n##[error]x ***\n***')
    expect(result.annotations[0]).toMatchObject({ message: 'x ***', properties: { title: '***' } })
    expect(result.masks).toEqual(['ghs_tok', 'hunter2'])
    expect(result.log).not.toMatch(/^::add-mask/m)
  })
})

describe('conditions', { timeout: 30_000 }, () => {
  const outcomes = (result: Awaited<ReturnType<typeof runAction>>) =>
    Object.fromEntries(result.steps.map((step) => [step.id, `${step.outcome}/${step.conclusion}`]))

  test('when nothing fails', async () => {
    const result = await runAction({ action: fixture('conditions') })
    expect(result.conclusion).toBe('success')
    expect(outcomes(result)).toEqual({
      tolerated: 'failure/success',
      first: 'success/success',
      plain: 'success/success',
      'on-failure': 'skipped/skipped',
      'on-cancel': 'skipped/skipped',
      'by-input': 'success/success',
      'by-step': 'skipped/skipped',
    })
  })

  test('when a step fails', async () => {
    const result = await runAction({ action: fixture('conditions'), inputs: { fail: 'true' } })
    expect(result.conclusion).toBe('failure')
    expect(result.annotations.map((a) => a.message)).toContain('Process completed with exit code 5.')
    expect(outcomes(result)).toMatchObject({
      first: 'failure/failure',
      plain: 'skipped/skipped',
      'on-failure': 'success/success',
      'by-input': 'skipped/skipped',
      'by-step': 'success/success',
    })
  })

  test('`sh` stops at the first failing line, `bash` at a failing pipe too', async () => {
    const result = await script('true', { after: 'false; echo not reached' })
    expect(result.conclusion).toBe('failure')
    expect((await script('false | true; echo "not reached"')).rawLog).toBe('')
  })
})
