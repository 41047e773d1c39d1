import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { runAction } from '../harness/action-run.ts'
import { nodeFolder } from '../harness/job.ts'

const launcher = join(import.meta.dirname, '../../actions/launch')
// A path with blanks and a quote: nothing in the launcher may fall apart at it.
const scene = mkdtempSync(join(tmpdir(), "evenkeel launch's "))
afterAll(() => rmSync(scene, { recursive: true }))

/** The shells of this machine that a runner may call `sh`. */
const shells = [
  ['/bin/sh'],
  ['/usr/bin/dash'],
  ['/usr/bin/bash', '--posix'],
  ['/bin/busybox', 'sh'],
  ['/usr/bin/busybox', 'sh'],
].filter(([path]) => existsSync(path as string)) as [string, ...string[]][]

let scenes = 0
/** A checkout of its own with the launcher in it, its container path moved to where a test can put something. */
function checkout(): { root: string; launch: string; container: string } {
  const root = join(scene, `checkout ${++scenes}`)
  const container = join(root, 'container externals')
  const text = readFileSync(launcher, 'utf8')
  expect(text).toContain('\nrun_from /__e\n')
  file(join(root, 'actions/launch'), text.replace('\nrun_from /__e\n', `\nrun_from "${container}"\n`))
  file(
    join(root, 'dist/some-action/index.js'),
    `process.on('SIGINT', () => { console.log('interrupted'); process.exit(0) })
     console.log(JSON.stringify([process.pid, process.execPath, process.argv.slice(2)]))
     if (process.argv[2] === 'wait') setInterval(() => {}, 1000)`,
  )
  mkdirSync(join(root, 'actions/some-action'))
  return { root, launch: join(root, 'actions/some-action/../launch'), container }
}

function file(path: string, text: string, mode = 0o644): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

/** Something at `path` that says it is a Node of that version, and which one it is when it is run. */
function fakeNode(path: string, version: string): string {
  return file(
    path,
    `#!/bin/sh\nif [ "$1" = --version ]; then echo '${version}'; exit; fi\necho "ran $0 $2"\n`,
    0o755,
  )
}

/** A PATH with what the launcher may use of the system, and in front of it a folder for a `node`. */
function pathWith(root: string): { folder: string; PATH: string } {
  const folder = join(root, 'bin first')
  const system = join(root, 'system')
  mkdirSync(folder, { recursive: true })
  mkdirSync(system, { recursive: true })
  symlinkSync('/usr/bin/readlink', join(system, 'readlink'))
  symlinkSync('/bin/sh', join(system, 'sh'))
  return { folder, PATH: `${folder}:${system}` }
}

describe.for(shells)('launched by %s', { timeout: 30_000 }, ([shell, ...args]) => {
  const launch = (script: string, phase: string, env: Record<string, string>) =>
    spawnSync(shell, [...args, script, 'some-action', phase], { env, encoding: 'utf8' })

  test('the Node on PATH is run with the phase', () => {
    const { root, launch: script } = checkout()
    const { folder, PATH } = pathWith(root)
    symlinkSync(join(nodeFolder('20'), 'node'), join(folder, 'node'))
    const { stdout, status } = launch(script, 'main', { PATH })
    expect(status).toBe(0)
    expect(JSON.parse(stdout).slice(1)).toEqual([join(nodeFolder('20'), 'node'), ['main']])
  })

  test.for([
    ['v20.18.1', true],
    ['v20.19.0', true],
    ['v21.0.0', true],
    ['v24.1.0-nightly20260101abcdef', true],
    ['v100.0.0', true],
    ['v20.18.0', false],
    ['v20.9.5', false],
    ['v18.99.99', false],
    ['v9.11.2', false],
    ['v24', false],
    ['v24.x.1', false],
    ['24.1.0', false],
    ['v24.1.0.1', false],
    ['v24a.1.0', false],
    ['', false],
    ['some wrapper: no version chosen', false],
  ] as const)('a Node on PATH that says "%s" counts: %s', ([version, counts]) => {
    const { root, launch: script } = checkout()
    const { folder, PATH } = pathWith(root)
    const node = fakeNode(join(folder, 'node'), version)
    const { stdout, status } = launch(script, 'main', { PATH })
    if (counts) expect([status, stdout]).toEqual([0, `ran ${node} main\n`])
    else {
      expect(status).toBe(1)
      expect(stdout).toMatch(/^::error title=Node.js is missing::/)
      if (/^v[\d.]+$/.test(version)) expect(stdout).toContain(`On PATH: it is ${version}.`)
    }
  })

  test('a `node` that fails to start does not count', () => {
    const { root, launch: script, container } = checkout()
    const { folder, PATH } = pathWith(root)
    file(join(folder, 'node'), '#!/bin/sh\necho v24.0.0\nexit 127\n', 0o755)
    const own = fakeNode(join(container, 'node24/bin/node'), 'v24.1.0')
    expect(launch(script, 'main', { PATH }).stdout).toBe(`ran ${own} main\n`)
  })

  test("too old on PATH: the runner's own, newest first, from a container job's mount", () => {
    const { root, launch: script, container } = checkout()
    const { folder, PATH } = pathWith(root)
    fakeNode(join(folder, 'node'), 'v18.20.1')
    const node20 = fakeNode(join(container, 'node20/bin/node'), 'v20.19.0')
    expect(launch(script, 'main', { PATH }).stdout).toBe(`ran ${node20} main\n`)
    // On Alpine the glibc build is there but does not start.
    file(join(container, 'node24/bin/node'), '#!/no/such/loader\n', 0o755)
    const musl = fakeNode(join(container, 'node24_alpine/bin/node'), 'v24.2.0')
    expect(launch(script, 'settle', { PATH }).stdout).toBe(`ran ${musl} settle\n`)
  })

  test.for([
    'RUNNER_TEMP',
    'RUNNER_TOOL_CACHE',
    'RUNNER_WORKSPACE',
  ])('it is found beside the work folder that %s is in', (name) => {
    const { root, launch: script } = checkout()
    const { PATH } = pathWith(root)
    const node = fakeNode(join(root, 'externals/node24/bin/node'), 'v24.1.0')
    const { stdout } = launch(script, 'main', { PATH, [name]: join(root, '_work/folder') })
    expect(stdout).toBe(`ran ${node} main\n`)
  })

  test('it is found beside the Runner.Worker that the step descends from, wherever the work folder is', () => {
    const { root, launch: script } = checkout()
    const { PATH } = pathWith(root)
    const node = fakeNode(join(root, 'runner/externals/node24/bin/node'), 'v24.1.0')
    // An updated runner has its programs in bin.<version>, to which `bin` is a link.
    const worker = join(root, 'runner/bin.2.999.0/Runner.Worker')
    mkdirSync(dirname(worker))
    copyFileSync('/bin/sh', worker)
    chmodSync(worker, 0o755)
    const step = [shell, ...args].join(' ')
    const { stdout } = spawnSync(worker, ['-c', `sh -c '${step} "$SCRIPT" some-action main; :'; :`], {
      env: { PATH, SCRIPT: script, RUNNER_TEMP: '/mnt/elsewhere/_temp' },
      encoding: 'utf8',
    })
    expect(stdout).toBe(`ran ${node} main\n`)
  })

  test('none anywhere: main fails and says what to do, settle warns and succeeds', () => {
    const { root, launch: script } = checkout()
    const { PATH } = pathWith(root)
    const main = launch(script, 'main', { PATH })
    expect(main.status).toBe(1)
    expect(main.stdout).toBe(
      "::error title=Node.js is missing::Evenkeel's some-action needs Node.js 20.18.1 or newer. " +
        "On PATH: there is none. The runner's own Node was not found either.%0A" +
        'Nothing has been done by this step.%0A' +
        'To do: put a step with actions/setup-node (node-version: 24) before it, ' +
        'or install Node.js on the runner or in the container image.\n',
    )
    const settle = launch(script, 'settle', { PATH })
    expect(settle.status).toBe(0)
    expect(settle.stdout).toMatch(/^::warning title=/)
    expect(main.stderr + settle.stderr).toBe('')
  })

  test('what a `node` says cannot break out of the error line', () => {
    const { root, launch: script } = checkout()
    const { folder, PATH } = pathWith(root)
    fakeNode(join(folder, 'node'), 'v1.2.3\n::set-output name=a::b')
    const { stdout } = launch(script, 'main', { PATH })
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(stdout).not.toContain('set-output')
  })

  test('Node takes the place of the shell: same process, signals arrive', async () => {
    const { root, launch: script } = checkout()
    const { folder, PATH } = pathWith(root)
    symlinkSync(join(nodeFolder('24'), 'node'), join(folder, 'node'))
    const child = spawn(shell, [...args, script, 'some-action', 'wait'], { env: { PATH } })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    await once(child.stdout, 'data')
    expect(JSON.parse(output)[0]).toBe(child.pid)
    child.kill('SIGINT')
    const [code] = await once(child, 'close')
    expect(code).toBe(0)
    expect(output).toContain('interrupted')
  })
})

test('through an action.yml, cancel reaches the bundle', { timeout: 30_000 }, async () => {
  const { root } = checkout()
  file(
    join(root, 'actions/some-action/action.yml'),
    `runs:
  using: composite
  steps:
    - id: main
      shell: sh
      run: exec sh "$GITHUB_ACTION_PATH/../launch" some-action wait
    - id: settle
      if: always()
      shell: sh
      run: exec sh "$GITHUB_ACTION_PATH/../launch" some-action settle
`,
  )
  const result = await runAction({
    action: join(root, 'actions/some-action'),
    during: async (run) => {
      await run.waitForLog(/"wait"/)
      void run.cancel()
    },
  })
  expect(result.rawLog).toMatch(/interrupted\n.*\["settle"\]/)
  expect(result.steps.map((step) => step.conclusion)).toEqual(['cancelled', 'success'])
})
