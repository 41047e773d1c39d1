import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { repositoryRoot } from '../harness/action-file.ts'
import { actionsOf, violations } from './contract.ts'

describe('actions/', () => {
  test('the launcher stands beside the actions', () => {
    expect(existsSync(join(repositoryRoot, 'actions/launch'))).toBe(true)
  })

  test('every action keeps the contract', () => {
    const broken = actionsOf(repositoryRoot).map((name) => [
      name,
      violations(join(repositoryRoot, 'actions', name)),
    ])
    expect(Object.fromEntries(broken.filter(([, found]) => found!.length > 0))).toEqual({})
  })
})

describe('the contract', () => {
  const scene = mkdtempSync(join(tmpdir(), 'evenkeel-contract-'))
  afterAll(() => rmSync(scene, { recursive: true }))
  let copies = 0

  /** The violations of the good fixture after a change to one of its files. */
  function changed(file: string, from: string | RegExp, to: string): string[] {
    const root = join(scene, String(++copies))
    cpSync(join(import.meta.dirname, 'fixtures'), root, { recursive: true })
    mkdirSync(join(root, 'dist/good-action'), { recursive: true })
    writeFileSync(join(root, 'dist/good-action/index.js'), '')
    const path = join(root, file)
    const before = readFileSync(path, 'utf8')
    const after = before.replace(from, to)
    if (from !== '') expect(after).not.toBe(before)
    writeFileSync(path, after)
    expect(actionsOf(root)).toEqual(['good-action'])
    return violations(join(root, 'actions/good-action'))
  }

  test('is kept by a good action', () => {
    expect(changed('actions/good-action/action.yml', '', '')).toEqual([])
  })

  test('wants a bundle and a README', () => {
    expect(violations(join(import.meta.dirname, 'fixtures/actions/good-action'))).toEqual([
      'dist/good-action/index.js is missing: npm run build',
    ])
  })

  test.for([
    ['using: composite', 'using: node24', 'only composite actions'],
    [/exec sh (.*) main/, 'sh $1 main', 'step main: run must be: exec sh'],
    [/exec sh (.*) main/, 'exec sh $1 other', 'step main: run must be: exec sh'],
    [/launch" good-action settle/, 'launch" bad-action settle', 'run must be: exec sh'],
    [/good-action settle/, 'good-action settle ${{ inputs.host }}', 'injection hole'],
    [/ {6}shell: sh\n/, '', 'Required property is missing: shell'],
    ['shell: sh', 'shell: bash', 'step main: shell must be sh'],
    ['if: always()', 'if: failure()', 'the last step must run if: always()'],
    ['if: always()', 'name: settle', 'the last step must run if: always()'],
    ['INPUTS: ${{ toJSON(inputs) }}', 'HOST: ${{ inputs.host }}', 'step main: env.INPUTS must be'],
    ['STATE: ${{ steps.main.outputs.state }}', 'STATE: none', 'env.STATE must be'],
    ['    description: Where to.\n', '', 'input host has no description'],
    ['    description: How it went.\n', '', 'output report has no description'],
    ['outputs.report }}', 'outputs.repot }}', 'output report: value must be'],
    ["default: '22'", "default: '2222'", "the default of port is '2222', not '22'"],
    ['required: true', 'required: false', "the default of host is '', not 'required'"],
    ['  port:', '  a-port:', 'README.md: input port does not exist'],
    ['  report:', '  reports:', 'README.md: output reports has no row'],
  ] as const)('wants action.yml otherwise than with %s -> %s', ([from, to, message]) => {
    expect(changed('actions/good-action/action.yml', from, to).join('\n')).toContain(message)
  })

  test.for([
    [/\| `port`.*\n/, '', 'README.md: input port has no row'],
    [/(\| `port`.*\n)/, '$1$1', 'README.md: an input has two rows'],
    ['| `22` |', '| `23` |', "the default of port is '22', not '23'"],
    ['| The port. |', '|  |', 'README.md: input port has no meaning'],
    ['| output | meaning |', '| result | meaning |', 'README.md has no output table'],
    ['| `report` |', '| `raport` |', 'README.md: output raport does not exist'],
  ] as const)('wants README.md otherwise than with %s -> %s', ([from, to, message]) => {
    expect(changed('actions/good-action/README.md', from, to).join('\n')).toContain(message)
  })
})
