import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { validate } from '@actions/languageservice'
import { describe, expect, test } from 'vitest'
import { TextDocument } from 'vscode-languageserver-textdocument'
import { parse } from 'yaml'
import { repositoryRoot } from '../harness/action-file.ts'
import { readmeBlocks } from './readme.ts'
import { brokenRules, differingDefaults, unknownInputs } from './rules.ts'

const files = globSync(['.github/workflows/*.yml', 'actions/*/action.yml'], { cwd: repositoryRoot }).sort()
const textOf = (file: string) => readFileSync(join(repositoryRoot, file), 'utf8')

/** What GitHub's own language service says, as `line: message`. */
async function diagnose(file: string, text: string): Promise<string[]> {
  const document = TextDocument.create(`file:///repository/${file}`, 'yaml', 1, text)
  const found = await validate(document)
  return found.map(({ range, message }) => `${range.start.line + 1}: ${message}`)
}

test('the workflows are there', () => {
  const names = files.filter((file) => file.startsWith('.github/')).map((file) => file.split('/').pop())
  for (const name of [
    'deploy-static',
    'deploy-git',
    'rolling-restart',
    'dns-flip',
    'migrate',
    'rollback',
    'plan',
  ]) {
    expect(names).toContain(`${name}.yml`)
  }
})

describe.each(files)('%s', (file) => {
  test('is valid to GitHub', async () => {
    expect(await diagnose(file, textOf(file))).toEqual([])
  })

  test('keeps the rules', () => {
    expect(brokenRules(parse(textOf(file)), repositoryRoot)).toEqual([])
  })

  test('has the defaults of the actions that it calls', () => {
    expect(differingDefaults(parse(textOf(file)), repositoryRoot)).toEqual([])
  })
})

const whole = readmeBlocks().filter((text) => text.startsWith('name: '))
const steps = readmeBlocks().filter((text) => !text.startsWith('name: '))

describe.each(whole)("the README's workflow %$", (text) => {
  test('is valid to GitHub', async () => {
    expect(await diagnose('.github/workflows/readme.yml', text)).toEqual([])
  })

  test('gives inputs that there are, and those that are needed', () => {
    expect(unknownInputs(parse(text), repositoryRoot)).toEqual([])
  })
})

test.each(steps)("the README's steps %$ are valid", async (text) => {
  const workflow = `on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n${text}`
  expect(await diagnose('.github/workflows/readme.yml', workflow)).toEqual([])
  expect(unknownInputs(parse(workflow), repositoryRoot)).toEqual([])
})

test('the README has a caller of every reusable workflow', () => {
  const all = readmeBlocks().join('\n')
  for (const file of files.filter((name) => textOf(name).includes('workflow_call:'))) {
    expect(all).toContain(`uses: evenkeel/evenkeel/${file}@v1`)
  }
})

test('whatever deploys or rolls back in an environment queues up with all else there', () => {
  const changing = files.filter(
    (file) => file.startsWith('.github/') && textOf(file).includes('deployments: write'),
  )
  const groups = changing.flatMap((file) => {
    const { jobs } = parse(textOf(file)) as {
      jobs: Record<string, { permissions?: object; concurrency?: { group?: string } }>
    }
    const deploying = Object.values(jobs).filter(({ permissions }) => 'deployments' in (permissions ?? {}))
    return deploying.map(({ concurrency }) => concurrency?.group)
  })
  expect(changing.length).toBe(6)
  expect(groups).toEqual(Array(6).fill('evenkeel-${{ inputs.environment }}'))
})

describe('the language service finds', () => {
  const workflow = (step: string) =>
    `on: push\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - ${step}\n`

  test('a context that does not exist', async () => {
    expect(await diagnose('.github/workflows/a.yml', workflow('run: echo ${{ input.x }}'))).toEqual([
      "7: Unrecognized named-value: 'input'",
    ])
  })

  test('a composite step without a shell', async () => {
    const action = 'name: a\ndescription: a\nruns:\n  using: composite\n  steps:\n    - run: true\n'
    expect(await diagnose('actions/a/action.yml', action)).toEqual(['6: Required property is missing: shell'])
  })
})

describe('the rules find', () => {
  const good = textOf('.github/workflows/deploy-static.yml')
  test.for([
    [
      'an action that is not pinned',
      /(download-artifact)@\w+/,
      '$1@v5',
      'actions/download-artifact@v5 is not pinned',
    ],
    [
      'an expression in a script',
      '          missing=\n',
      '          missing=${{ inputs.host }}\n',
      '`${{ }}` inside `run`',
    ],
    [
      'a secret in an argument',
      "{ secrets.DEPLOY_KEY != '' }}\n        run: |\n",
      '{ secrets.DEPLOY_KEY }}\n        run: |\n          curl -H "$DEPLOY_KEY" x\n',
      'a secret on a command line',
    ],
    ['missing permissions at the top', 'permissions: {}\n', '', 'no `permissions` at the top'],
    ['write permissions for all jobs', 'permissions: {}\n', 'permissions: write-all\n', 'belong to the job'],
    [
      'missing permissions of a job',
      / {4}permissions:\n {6}deployments: write\n/,
      '',
      'job deploy: no `permissions`',
    ],
    [
      'pull_request_target',
      'on:\n',
      'on:\n  pull_request_target:\n',
      'pull_request_target runs with secrets',
    ],
    ['a job without a time limit', / {4}timeout-minutes: .*\n {4}perm/, '    perm', 'no timeout-minutes'],
    ['an input without a type', '        type: string\n', '', 'input environment has no type'],
    [
      'an input that is neither required nor has a default',
      '        required: true\n',
      '',
      'input environment must be either',
    ],
    [
      'a required secret',
      '        required: false\n',
      '        required: true\n',
      'secret DEPLOY_KEY must be',
    ],
    ["a group that a caller's could equal", 'group: evenkeel-', 'group: ', 'must begin with evenkeel-'],
    [
      'a deploy that is cancelled',
      'cancel-in-progress: false',
      'cancel-in-progress: true',
      'never be cancelled',
    ],
    ["GitHub's own deployment record", 'deployment: false', 'deployment: true', 'needs deployment: false'],
    [
      'an input that an action does not have',
      '          kind: static\n',
      '          sort: static\n',
      'has no input sort',
    ],
    ['an input that an action needs', '          kind: static\n', '', 'needs the input kind'],
    [
      'an action that is not there',
      '$/actions/record-deployment',
      '$/actions/record',
      '$/actions/record does not exist',
    ],
  ] as const)('%s', ([, from, to, problem]) => {
    const text = good.replace(from, to)
    expect(text).not.toBe(good)
    expect(brokenRules(parse(text), repositoryRoot).join('\n')).toContain(problem)
  })

  test('a default that is another than that of the action', () => {
    const text = good.replace('default: 120s', 'default: 60s')
    expect(differingDefaults(parse(text), repositoryRoot).join('\n')).toContain(
      "health-timeout is '60s' by default",
    )
  })
})
