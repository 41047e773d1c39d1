import { expect, test } from 'vitest'
import { formatAddress, formatTarget, parseTarget } from '../../src/ssh/target.ts'

const defaults = { user: 'deploy', port: 22 }

test.each([
  ['web1', { host: 'web1', port: 22, user: 'deploy' }],
  ['root@web1.example.com', { host: 'web1.example.com', port: 22, user: 'root' }],
  ['web1:2222', { host: 'web1', port: 2222, user: 'deploy' }],
  ['u@10.0.0.1:2222', { host: '10.0.0.1', port: 2222, user: 'u' }],
  ['[2001:db8::1]', { host: '2001:db8::1', port: 22, user: 'deploy' }],
  ['u@[::1]:2200', { host: '::1', port: 2200, user: 'u' }],
  ['name@corp@web1', { host: 'web1', port: 22, user: 'name@corp' }],
])('%s is a target', (text, target) => {
  expect(parseTarget(text, defaults)).toEqual(target)
})

test.each([
  '',
  '@web1',
  'web1:',
  'web1:0',
  'web1:65536',
  'web1:22x',
  '2001:db8::1',
  '[web1]',
  '[::1',
  '-oProxyCommand=id',
  'u@-oProxyCommand=id',
  '-u@web1',
  'web1;id',
  'web1 web2',
  '$(id)',
  'u;id@web1',
  '10.0.0',
  '10.0.0.256',
  'web1..example',
  'a/b',
])('%j is refused with what would be right', (text) => {
  expect(parseTarget(text, defaults)).toBeTypeOf('string')
})

test('a host without a user is refused where no default user is given', () => {
  expect(parseTarget('web1', { user: '', port: 22 })).toMatch(/names no user/)
})

test('IPv6 without brackets is told how to be written', () => {
  expect(parseTarget('::1', defaults)).toMatch(/\[::1\]/)
})

test('targets are shown as one would type them', () => {
  expect(formatTarget({ host: 'web1', port: 22, user: 'u' })).toBe('u@web1')
  expect(formatTarget({ host: '::1', port: 2200, user: 'u' })).toBe('u@[::1]:2200')
  expect(formatAddress('web1', 2222)).toBe('web1:2222')
})
