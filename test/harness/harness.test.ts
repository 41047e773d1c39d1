import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ActionOptions, type ActionRun, runAction, startAction } from './action-run.ts'
import { tracked } from './step-process.ts'

const fixture = (name: string): string => join(import.meta.dirname, 'fixtures', name)
const quick = { interrupt: 400, terminate: 300, output: 500 }

function script(text: string, more: Partial<Parameters<typeof runAction>[0]> & { after?: string } = {}) {
  const { after, ...options } = more
  return runAction({
    action: fixture('script'),
    inputs: { script: text, ...(after === undefined ? {} : { after }) },
    timings: quick,
    ...options,
  })
}

function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
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

describe('cancel and loss', { timeout: 60_000 }, () => {
  const phases = (more: Partial<ActionOptions> & { during: (run: ActionRun) => unknown }) =>
    runAction({ action: fixture('phases'), timings: quick, ...more })

  test('exec: SIGINT reaches Node, the settle step runs, the others do not', async () => {
    const result = await phases({
      during: async (run) => {
        await run.waitForLog(/^main runs on/)
        void run.cancel()
      },
    })
    expect(result.conclusion).toBe('cancelled')
    expect(result.rawLog).toContain('main got SIGINT')
    expect(result.steps.map((step) => [step.id, step.conclusion, step.sent])).toEqual([
      ['main', 'cancelled', ['SIGINT']],
      ['unless-cancelled', 'skipped', []],
      ['settle', 'success', []],
    ])
    expect(result.steps[0]!.exitCode).toBe(0)
    expect(result.outputs).toEqual({ state: 'begun', settled: 'yes' })
    expect(result.log).toContain('##[error]The operation was canceled.')
  })

  test('without exec: the shell gets the signals, Node runs on unaware until the end of the job', async () => {
    let pid = 0
    const result = await phases({
      inputs: { command: 'node' },
      during: async (run) => {
        pid = Number((await run.waitForLog(/^main runs on .* as (\d+)/))[1])
        void run.cancel()
      },
    })
    expect(result.conclusion).toBe('cancelled')
    expect(result.rawLog).not.toContain('main got')
    expect(result.rawLog).toContain('settle begins')
    expect(alive(pid)).toBe(false)
  })

  test('a step that stays gets SIGINT, SIGTERM, and is killed with all below it', async () => {
    const result = await phases({
      inputs: { stubborn: 'true' },
      during: async (run) => {
        await run.waitForLog(/^main runs on/)
        void run.cancel()
      },
    })
    expect(result.rawLog).toContain('main got SIGINT\nmain got SIGTERM')
    expect(result.steps[0]).toMatchObject({
      conclusion: 'cancelled',
      signal: 'SIGKILL',
      sent: ['SIGINT', 'SIGTERM', 'SIGKILL'],
    })
    expect(result.outputs['settled']).toBe('yes')
  })

  test("the runner's pauses are the default", async () => {
    const { runnerTimings } = await import('./step-process.ts')
    expect(runnerTimings).toMatchObject({ interrupt: 7_500, terminate: 2_500 })
  })

  test('a cancel during an always() step does not signal it', async () => {
    const result = await phases({
      inputs: { command: 'true' },
      during: async (run) => {
        await run.waitForLog(/^settle begins/)
        void run.cancel()
      },
    })
    expect(result.conclusion).toBe('cancelled')
    expect(result.rawLog).not.toContain('settle got')
    expect(result.outputs['settled']).toBe('yes')
  })

  test('kill -9 fails the step, its files count, and the settle step runs', async () => {
    const result = await phases({
      during: async (run) => {
        await run.waitForLog(/^main runs on/)
        run.kill9()
      },
    })
    expect(result.conclusion).toBe('failure')
    expect(result.steps[0]).toMatchObject({ conclusion: 'failure', signal: 'SIGKILL', exitCode: null })
    expect(result.log).toContain('##[error]Process completed with exit code 137.')
    expect(result.rawLog).toContain('settle begins, state is begun')
  })

  test('a lost runner takes all processes with it and runs nothing more', async () => {
    let pid = 0
    const result = await phases({
      inputs: { command: 'node' },
      during: async (run) => {
        pid = Number((await run.waitForLog(/^main runs on .* as (\d+)/))[1])
        void run.lostRunner()
      },
    })
    expect(result.conclusion).toBe('failure')
    expect(result.steps).toEqual([])
    expect(result.rawLog).not.toContain('settle begins')
    expect(alive(pid)).toBe(false)
  })
})

describe('nothing is left behind', { timeout: 30_000 }, () => {
  test('background processes are ended and named, folders removed', async () => {
    let folder = ''
    const result = await script('sleep 4321 >/dev/null 2>&1 & setsid sleep 4322 >/dev/null 2>&1 & env', {
      during: (run) => {
        folder = run.temp
      },
    })
    expect(result.orphans.sort()).toEqual(['sleep 4321', 'sleep 4322'])
    expect(existsSync(folder)).toBe(false)
    expect(readdirSync(tmpdir()).filter((name) => folder.includes(`/${name}/`))).toEqual([])
    const trackingId = /^RUNNER_TRACKING_ID=(.*)$/m.exec(result.rawLog)![1]!
    expect(tracked(trackingId)).toEqual([])
  })

  test('output held open by a background process does not hold up the step', async () => {
    const result = await script('sleep 4323 & echo done')
    expect(result.conclusion).toBe('success')
    expect(result.orphans).toEqual(['sleep 4323'])
  })

  test('a hung action fails with its log', async () => {
    await expect(script('echo so far; sleep 4324', { deadline: 1_000 })).rejects.toThrow(
      /had not ended after 1000 ms:[\s\S]*\nso far/,
    )
  })

  test('waiting for a line that never comes fails with the log', async () => {
    const waiting = script('echo the only line', { during: (run) => run.waitForLog(/never/) })
    await expect(waiting).rejects.toThrow(
      /The run ended before the log showed \/never\/:[\s\S]*the only line/,
    )
  })
})
