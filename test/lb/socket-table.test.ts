import { expect, test } from 'vitest'
import { isBusy, isIdle, newRequests, parseSocketTable } from '../../src/lb/socket-table.ts'

// Of ss 6.1.0 on Linux 6: a request that is worked on, the same connection idle later, and one that is new.
const AT_WORK = `0      0      127.0.0.1:18765 127.0.0.1:38840
\t bbr wscale:10,10 rto:200 rtt:0.016/0.008 ato:40 mss:32768 pmtu:65535 rcvmss:536 advmss:65483 cwnd:10 bytes_received:69 segs_out:1 segs_in:3 data_segs_in:1 bbr:(bw:0bps,mrtt:0.016) send 163840000000bps lastsnd:608 lastrcv:604 lastack:604 pacing_rate 468230400000bps delivered:1 app_limited rcv_space:65483 rcv_ssthresh:65483 minrtt:0.016 snd_wnd:65536
`
const ANSWERED = `0      0      127.0.0.1:18765 127.0.0.1:38840
\t bbr wscale:10,10 rto:204 bytes_sent:123 bytes_acked:123 bytes_received:69 segs_out:5 segs_in:7 lastsnd:1604 lastrcv:4608 lastack:1604 pacing_rate 468230400000bps minrtt:0.016
`

const socket = (fields: Partial<Parameters<typeof isBusy>[0]>) => ({
  peer: '10.0.0.9:4000',
  ...{ bytesSent: 500, bytesReceived: 100, lastSent: 5_000, lastReceived: 5_000 },
  ...fields,
})

test('a connection that has received and sent nothing is at work', () => {
  const [one] = parseSocketTable(AT_WORK)
  expect(one).toEqual({
    peer: '127.0.0.1:38840',
    bytesSent: 0,
    bytesReceived: 69,
    lastSent: 608,
    lastReceived: 604,
  })
  expect(isBusy(one!)).toBe(true)
  expect(isIdle(one!)).toBe(false)
})

test('one that sent last, more than a second ago, is idle', () => {
  const [one] = parseSocketTable(ANSWERED)
  expect(isBusy(one!)).toBe(false)
  expect(isIdle(one!)).toBe(true)
})

test('one that received last is at work, however long ago', () => {
  expect(isBusy(socket({ lastReceived: 8_000, lastSent: 9_000 }))).toBe(true)
})

test('one that sends right now is neither at work on something new nor idle', () => {
  const one = socket({ lastReceived: 8_000, lastSent: 20 })
  expect([isBusy(one), isIdle(one)]).toEqual([false, false])
})

test('an open connection without any request is idle', () => {
  expect(isIdle(socket({ bytesReceived: 0, bytesSent: 0, lastReceived: 10, lastSent: 10 }))).toBe(true)
})

test('other lines are passed over', () => {
  expect(parseSocketTable('')).toEqual([])
  expect(parseSocketTable('State Recv-Q\n\n garbage\n')).toEqual([])
})

test('requests are new on new connections and on ones that were idle, not on ones at work all the time', () => {
  const idle = socket({ peer: 'a:1' })
  const upload = socket({ peer: 'b:2', lastReceived: 10, lastSent: 900 })
  expect(newRequests([idle, upload], [idle, { ...upload, bytesReceived: 900 }])).toEqual([])
  const again = { ...idle, bytesReceived: 200 }
  const fresh = socket({ peer: 'c:3' })
  expect(newRequests([idle, upload], [again, upload, fresh])).toEqual([again, fresh])
  // A port of the other end that is used again.
  const reused = { ...idle, bytesReceived: 50 }
  expect(newRequests([idle], [reused])).toEqual([reused])
  expect(newRequests([], [socket({ bytesReceived: 0 })])).toEqual([])
})
