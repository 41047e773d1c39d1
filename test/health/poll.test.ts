import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Clock, Context } from '../../src/context.ts'
import { expandUrl, parseStatusRanges, urlProblem } from '../../src/health/check.ts'
import { type Answer, describeAnswer, pauseAfter, pollHealth } from '../../src/health/poll.ts'

/** A clock that stands still but for the sleeps. */
function steppedContext(): Context & { lines: string[]; abort(): void; slept: number[] } {
  let now = 0
  const slept: number[] = []
  const lines: string[] = []
  const controller = new AbortController()
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    sleep: (ms) => {
      now += ms
      slept.push(ms)
      return Promise.resolve()
    },
  }
  const push = (line: string) => void lines.push(line)
  return {
    clock,
    lines,
    slept,
    abort: () => controller.abort(),
    log: { info: push, warn: push, debug: push },
    signal: controller.signal,
  }
}

const policy = { intervalMs: 1_000, timeoutMs: 120_000, threshold: 2 }
const answers = (...oks: boolean[]) => {
  const queue = [...oks]
  return async (): Promise<Answer> => ({ ok: queue.length > 1 ? queue.shift()! : (queue[0] ?? false) })
}

test('one good answer between bad ones is not healthy yet', async () => {
  const result = await pollHealth(answers(true, false, true, true), policy, steppedContext())
  expect(result).toMatchObject({ healthy: true, attempts: 4 })
})

test('pauses begin at 50 ms and double up to the interval', async () => {
  const context = steppedContext()
  await pollHealth(answers(false, false, false, false, false, false, true), policy, context)
  expect(context.slept.slice(0, 7)).toEqual([50, 100, 200, 400, 800, 1000, 1000])
  expect(pauseAfter(10_000, 1_000)).toBe(1_000)
})

test('gives up before the timeout would pass in a pause', async () => {
  const context = steppedContext()
  const result = await pollHealth(answers(false), { ...policy, timeoutMs: 5_000 }, context)
  expect(result.healthy).toBe(false)
  expect(result.durationMs).toBeLessThan(5_000)
})

test('says each change once, not each probe', async () => {
  const context = steppedContext()
  await pollHealth(answers(false, false, false, true), policy, context)
  expect(context.lines).toEqual(['health: bad', 'health: good'])
})

test('a cancel rejects, also when the answer was good', async () => {
  const context = steppedContext()
  const probe = async (): Promise<Answer> => {
    context.abort()
    return { ok: true }
  }
  await expect(pollHealth(probe, policy, context)).rejects.toMatchObject({ message: 'cancelled' })
})

test('healthy always means the last N answers were good, whatever came before', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 5 }),
      async (oks, threshold) => {
        const given: boolean[] = []
        const next = answers(...oks)
        const probe = async () => {
          const answer = await next()
          given.push(answer.ok)
          return answer
        }
        const result = await pollHealth(probe, { ...policy, threshold }, steppedContext())
        expect(result.attempts).toBe(given.length)
        expect(given.slice(-threshold).every(Boolean) && given.length >= threshold).toBe(result.healthy)
      },
    ),
  )
})

test('an answer in words', () => {
  expect(describeAnswer({ ok: false, error: 'unexpected status', status: 503, body: 'no' })).toBe(
    "unexpected status, status 503, 'no'",
  )
})

test.each([
  ['200', [{ from: 200, to: 200 }]],
  ['200-399', [{ from: 200, to: 399 }]],
  [
    '200, 301-302',
    [
      { from: 200, to: 200 },
      { from: 301, to: 302 },
    ],
  ],
  ['', undefined],
  ['20', undefined],
  ['399-200', undefined],
  ['200-', undefined],
  ['700', undefined],
])('statuses %j', (text, ranges) => {
  expect(parseStatusRanges(text)).toEqual(ranges)
})

test.each([
  ['http://{address}/ping', undefined],
  ['https://{name}:{port}/', undefined],
  ['http://{host}/', /'\{host\}' is not a placeholder here/],
  ['http://{}/', /not a placeholder/],
  ['file:///etc/passwd', /not an http/],
  ['ping', /not an http/],
  ['http://u:p@web/', /user or password/],
])('URL %s', (url, problem) => {
  const found = urlProblem(url, ['address', 'ip', 'port', 'name'])
  if (problem) expect(found).toMatch(problem)
  else expect(found).toBeUndefined()
})

test('placeholders are filled in', () => {
  expect(expandUrl('http://{ip}:{port}/{name}', { ip: '10.0.0.1', port: '80', name: 'n' })).toBe(
    'http://10.0.0.1:80/n',
  )
})
