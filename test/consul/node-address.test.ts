import { expect, test } from 'vitest'
import { parseAddress } from '../../src/consul/node-address.ts'
import { upstreamProblem } from '../../src/consul/upstream.ts'

test('a plain IPv4 address with a port is a node', () => {
  expect(parseAddress('10.0.0.1:8080')).toEqual({ ip: '10.0.0.1', port: 8080 })
})

test.each([
  '',
  '10.0.0.1',
  '10.0.0.1:',
  '10.0.0.1:0',
  '10.0.0.1:09001',
  '10.0.0.1:65536',
  '10.0.0.1:80;id',
  '10.0.0.1:80 ',
  '10.0.0.1:80\n',
  '010.0.0.1:80',
  '10.0.1:80',
  'web:80',
  '[::1]:80',
  '::1:80',
  'nested/10.0.0.1:80',
  '$(id):80',
])('%j is not', (text) => {
  expect(parseAddress(text)).toBeUndefined()
})

test.each([
  '',
  '/',
  'upstreams/',
  'upstreams//app',
  'a b',
  'a?b',
  'evenkeel/app',
  '../x?',
])('%j is no upstream', (text) => {
  expect(upstreamProblem(text)).toBeDefined()
})

test('the path of the keys is an upstream', () => {
  expect(upstreamProblem('upstreams/app')).toBeUndefined()
})
