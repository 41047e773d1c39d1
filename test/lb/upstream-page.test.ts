import { expect, test } from 'vitest'
import { parseUpstreamPage, peersOf } from '../../src/lb/upstream-page.ts'

const APP = `Upstream name: app; Backend server count: 2
        server 127.0.0.1:9001 weight=1 max_fails=2 fail_timeout=10s down;
        server 127.0.0.1:9002 weight=1 max_fails=2 fail_timeout=10s;
`
const OTHER = `Upstream name: app2; Backend server count: 1
        server 127.0.0.1:9003 weight=1 max_fails=2 fail_timeout=10s;
`

function peers(text: string, upstream = 'upstreams/app') {
  const page = parseUpstreamPage(text)
  if (typeof page === 'string') return page
  const found = peersOf(page, upstream)
  return typeof found === 'string' ? found : [...found]
}

const READ = [
  ['127.0.0.1:9001', { down: true }],
  ['127.0.0.1:9002', { down: false }],
]

test('a page tells which servers are down', () => {
  expect(peers(APP)).toEqual(READ)
})

test('of several upstreams the one with the name counts', () => {
  expect(peers(`${OTHER}\n${APP}`)).toEqual(READ)
  expect(peers(`${OTHER}\n${APP}`, 'upstreams/other')).toMatch(/shows the upstreams app2, app/)
})

test('a single upstream counts whatever its name', () => {
  expect(peers(APP, 'upstreams/something')).toEqual(READ)
})

test.each([
  [
    'The upstream you requested does not exist, Please check the upstream name',
    /is not an upstream_show page/,
  ],
  ['<html>hello</html>', /is not an upstream_show page/],
  ['', /is empty/],
  [APP.split('\n').slice(0, 2).join('\n'), /does not show all servers/],
  [APP.replace('9002', '9001'), /twice/],
  [APP + APP, /twice/],
  [APP.replace(' down;', ''), /is not an upstream_show page/],
])('a page that is something else is not believed: %j', (text, problem) => {
  expect(peers(text)).toMatch(problem)
})
