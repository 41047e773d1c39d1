import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/failure.ts'
import { InputReader, parseInputs } from '../../src/runner/input-reader.ts'

function read<T>(values: Record<string, string>, define: (reader: InputReader) => T) {
  const masked: string[] = []
  const reader = new InputReader(values, (secret) => masked.push(secret))
  const value = define(reader)
  let failure: Failure | undefined
  try {
    reader.finish()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    failure = error
  }
  return { value, masked, failure, problems: failure?.details.seen ?? '' }
}

const size = { min: 1, max: 100 }

test('every kind of bad input is reported, all of them together', () => {
  const { failure, problems } = read(
    {
      required: ' ',
      secret: '\n',
      boolean: 'yes',
      integer: '101',
      duration: '10',
      choice: 'c',
      environment: '1A=x',
      unserved: 'on',
      integr: '5',
      other: '',
    },
    (reader) => {
      reader.required('required')
      reader.secret('secret', { required: true })
      reader.boolean('boolean')
      reader.integer('integer', size)
      reader.duration('duration')
      reader.choice('choice', ['a', 'b'])
      reader.environment('environment')
      reader.unserved('unserved', ['', 'off'])
      reader.text('own')
      reader.problem('own', 'is no good')
    },
  )
  expect(problems.split('\n  - ').slice(1)).toEqual([
    '`required` is required and empty',
    expect.stringMatching(/^`secret` is required and empty: the secret it comes from does not exist/),
    "`boolean` is 'yes': write true or false",
    "`integer` is '101': write a whole number from 1 to 100",
    "`duration` is '10': write a duration such as 500ms, 10s, 2m or 1h",
    "`choice` is 'c': write one of a, b",
    "`environment` '1A' is not a KEY=VALUE line",
    "`unserved` is 'on', which this version of the action cannot do: write nothing or 'off'",
    '`own` is no good',
    '`integr` is not an input of this action: did you mean `integer`?',
    expect.stringMatching(/^`other` is not an input of this action/),
  ])
  expect(failure?.message).toBe('some inputs are wrong')
  expect(failure?.details.state).toBe('no connection was made and nothing was changed.')
})

describe('values', () => {
  test('are trimmed, but for secrets', () => {
    const { value, failure } = read({ text: ' a b\n', secret: '\n-----BEGIN\n' }, (reader) => [
      reader.text('text'),
      reader.secret('secret'),
      reader.text('absent'),
      reader.optional('absent'),
      reader.secret('absent'),
    ])
    expect(value).toEqual(['a b', '\n-----BEGIN\n', '', undefined, ''])
    expect(failure).toBeUndefined()
  })

  test('are found by a name in any case', () => {
    expect(read({ 'Health-URL': 'http://x' }, (reader) => reader.text('health-url'))).toMatchObject({
      value: 'http://x',
      failure: undefined,
    })
  })

  test.each(['true', 'True', 'TRUE'])('%s is true', (boolean) => {
    expect(read({ boolean }, (reader) => reader.boolean('boolean'))).toMatchObject({
      value: true,
      problems: '',
    })
  })

  test.each(['false', 'False', 'FALSE'])('%s is false', (boolean) => {
    expect(read({ boolean }, (reader) => reader.boolean('boolean'))).toMatchObject({
      value: false,
      problems: '',
    })
  })

  test.each(['', 'yes', 'on', '1', 'tRUE', 'true false', 'y'])('%j is no boolean', (boolean) => {
    expect(read({ boolean }, (reader) => reader.boolean('boolean')).problems).toContain('write true or false')
  })

  test.each(['1', '100', '007'])('%s is a number in the range', (integer) => {
    const { value, failure } = read({ integer }, (reader) => reader.integer('integer', size))
    expect(value).toBe(Number(integer))
    expect(failure).toBeUndefined()
  })

  test.each([
    '',
    '0',
    '101',
    '-1',
    '1.0',
    '1e1',
    '0x10',
    'ten',
    '99999999999999999999',
  ])('%j is none', (integer) => {
    expect(read({ integer }, (reader) => reader.integer('integer', size)).failure?.message).toBe(
      'an input is wrong',
    )
  })

  test('lines: blank ones and comments do not count', () => {
    const { value } = read({ list: '\n a \r\n#no\n  # no\n\nb # yes\n' }, (reader) => reader.lines('list'))
    expect(value).toEqual(['a', 'b # yes'])
  })

  test('an environment keeps its values as they are', () => {
    const { value } = read({ env: 'A=1\nB_2= x=y \n_C=\n' }, (reader) => reader.environment('env'))
    expect(value).toEqual({ A: '1', B_2: ' x=y', _C: '' })
  })

  test('a value of several lines has a line that ends it, as in GITHUB_ENV', () => {
    const env = `A<<END\n-----BEGIN "it's"-----\n  B=$(id)\n\n# no comment\nEND\nC=<<x\nD<<END\nEND`
    const { value } = read({ env }, (reader) => reader.environment('env'))
    expect(value).toEqual({
      A: `-----BEGIN "it's"-----\n  B=$(id)\n\n# no comment`,
      C: '<<x',
      D: '',
    })
  })

  test.each(['A', '=x', 'A-B=x', 'A B=x', '$(id)=x'])('%s is no line of an environment', (env) => {
    expect(read({ env }, (reader) => reader.environment('env')).problems).toContain('is not a KEY=VALUE line')
  })

  test('a bad line of an environment is named without its value', () => {
    expect(read({ env: 'A-B=hunter2' }, (reader) => reader.environment('env')).problems).not.toContain(
      'hunter2',
    )
  })

  test.each(['', 'off'])('an input that is not served may be idle: %j', (unserved) => {
    expect(read({ unserved }, (reader) => reader.unserved('unserved', ['', 'off'])).failure).toBeUndefined()
  })
})

describe('secrets', () => {
  test('are masked as soon as they are read, whatever else is wrong', () => {
    const { masked, problems } = read({ key: ' hunter2\n', number: 'x' }, (reader) => {
      reader.secret('key')
      reader.integer('number', size)
    })
    expect(masked).toEqual([' hunter2\n'])
    expect(problems).not.toContain('hunter2')
  })

  test('that are empty are not masked: every blank would be', () => {
    expect(read({ key: ' \n' }, (reader) => reader.secret('key')).masked).toEqual([])
  })
})

test('a name that is like none gets no hint', () => {
  expect(read({ completely: 'x' }, (reader) => reader.text('host')).problems).toMatch(
    /`completely` is not an input of this action$/,
  )
})

test('inputs come as texts, and what is no JSON is not shown', () => {
  expect(parseInputs('{"a":"x","b":null,"c":true}')).toEqual({ a: 'x', b: '', c: 'true' })
  expect(parseInputs('{"a":"a secret')).toBeUndefined()
  expect(parseInputs(undefined)).toBeUndefined()
})
