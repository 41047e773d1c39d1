import { expect, test } from 'vitest'
import { Cancelled, describeError, Failure } from '../src/failure.ts'

test('a failure tells what failed, where, what was seen, how things stand and what to do', () => {
  const failure = new Failure('not healthy', {
    host: 'web1',
    seen: 'status 500',
    state: 'web1 stays out',
    hint: 'look at its log',
  })
  expect(failure.describe()).toBe(
    'web1: not healthy\nSeen: status 500\nState now: web1 stays out\nWhat to do: look at its log',
  )
})

test('it leaves out what is not known', () => {
  expect(new Failure('no zone').describe()).toBe('no zone')
  expect(new Failure('no zone', { seen: '', hint: 'make it' }).describe()).toBe(
    'no zone\nWhat to do: make it',
  )
})

test('a cancel is told apart from other failures', () => {
  expect(new Cancelled('cancelled')).toBeInstanceOf(Failure)
  expect(new Failure('x')).not.toBeInstanceOf(Cancelled)
})

test.each([
  [new Failure('down', { host: 'web1' }), 'web1: down'],
  [new Error('read ECONNRESET'), 'read ECONNRESET'],
  [
    new Error('fetch failed', { cause: new Error('connect ECONNREFUSED') }),
    'fetch failed (connect ECONNREFUSED)',
  ],
  [new Error('fetch failed', { cause: new Failure('down') }), 'fetch failed (down)'],
  [
    new AggregateError([new Error('::1 refused'), new Error('127.0.0.1 refused')]),
    '::1 refused; 127.0.0.1 refused',
  ],
  [new RangeError(), 'RangeError'],
  ['text', 'text'],
  [undefined, 'undefined'],
])('%o reads %j', (error, text) => {
  expect(describeError(error)).toBe(text)
})
