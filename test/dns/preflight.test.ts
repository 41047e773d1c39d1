import { expect, test } from 'vitest'
import { type LiveProbe, preflight } from '../../src/dns/preflight.ts'
import type { Answer } from '../../src/health/poll.ts'
import { recordingContext } from '../ssh/recording-context.ts'

/** A context in which no time is spent. */
function quickContext() {
  let now = 0
  const clock = {
    now: () => now,
    monotonic: () => now,
    sleep: async (ms: number) => {
      now += ms
    },
  }
  return { ...recordingContext(), clock }
}

const live = (name: string, address: string, answer: Answer): LiveProbe => ({
  name,
  address,
  url: `http://${name}/`,
  probe: async () => answer,
})
const good = { ok: true, status: 200 }
const noRoute = { ok: false, error: 'connect ENETUNREACH 2001:db8::2:443' }

test('an IPv6 address without a route is left out where the name has another good one', async () => {
  const context = quickContext()
  const reachable = live('www.example.com', '192.0.2.2', good)
  const other = live('www.example.com', '2001:db8::2', noRoute)
  expect(await preflight([reachable, other], context)).toEqual([reachable])
  expect(context.lines.join('\n')).toMatch(/unchecked.*2001:db8::2/)
})

test.each([
  ['it is the only address', [live('www.example.com', '2001:db8::2', noRoute)]],
  [
    'the good one is of another name',
    [live('api.example.com', '192.0.2.2', good), live('www.example.com', '2001:db8::2', noRoute)],
  ],
  ['it is refused', [live('www.example.com', '192.0.2.2', { ok: false, error: 'connect ECONNREFUSED' })]],
])('it is a failure where %s', async (_, probes) => {
  await expect(preflight(probes, quickContext())).rejects.toThrow(/does not serve the live names/)
})

test('a wrong certificate gets the advice that helps', async () => {
  const error = "Hostname/IP does not match certificate's altnames"
  const wrong = live('www.example.com', '192.0.2.2', { ok: false, error })
  await expect(preflight([wrong], quickContext())).rejects.toMatchObject({
    details: { hint: expect.stringMatching(/copy it over, or issue by DNS-01/) },
  })
})
