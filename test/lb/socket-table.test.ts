import { expect, test } from 'vitest'
import { isBusy, isIdle, newRequests, parseSocketTable } from '../../src/lb/socket-table.ts'

// Of ss 6.1.0 on Linux 6: a request that is worked on, the same connection idle later, and one that is new.
const AT_WORK = `0      0      127.0.0.1:18765 127.0.0.1:38840
\t bbr wscale:10,10 rto:200 rtt:0.016/0.008 ato:40 mss:32768 pmtu:65535 rcvmss:536 advmss:65483 cwnd:10 bytes_received:69 segs_out:1 segs_in:3 data_segs_in:1 bbr:(bw:0bps,mrtt:0.016) send 163840000000bps lastsnd:608 lastrcv:604 lastack:604 pacing_rate 468230400000bps delivered:1 app_limited rcv_space:65483 rcv_ssthresh:65483 minrtt:0.016 snd_wnd:65536
`
const ANSWERED = `0      0      127.0.0.1:18765 127.0.0.1:38840
\t bbr wscale:10,10 rto:204 bytes_sent:123 bytes_acked:123 bytes_received:69 segs_out:5 segs_in:7 lastsnd:1604 lastrcv:4608 lastack:1604 pacing_rate 468230400000bps minrtt:0.016
`

// Kept-alive connections on which a request of 8 s came in the same tick as the answer before it went out, and ones
// that were answered in the tick of the request: acknowledged in the same tick, and 44 ms later.
const TIES = `0      0      127.0.0.1:24011 127.0.0.1:52874
\t bbr wscale:10,10 rto:204 bytes_sent:1736 bytes_acked:1736 bytes_received:255 segs_out:10 segs_in:13 data_segs_out:8 data_segs_in:9 lastsnd:1280 lastrcv:1280 lastack:1280 minrtt:0.01
0      0      127.0.0.1:24011 127.0.0.1:52890
\t bbr wscale:10,10 rto:204 bytes_sent:1085 bytes_acked:1085 bytes_received:174 segs_out:7 segs_in:10 data_segs_out:5 data_segs_in:6 lastsnd:1348 lastrcv:1348 lastack:1348 minrtt:0.01
0      0      127.0.0.1:24011 127.0.0.1:52902
\t bbr wscale:10,10 rto:204 bytes_sent:1519 bytes_acked:1519 bytes_received:189 segs_out:8 segs_in:16 data_segs_out:7 data_segs_in:7 lastsnd:1780 lastrcv:1780 lastack:1780 minrtt:0.01
0      0      127.0.0.1:24011 127.0.0.1:52918
\t bbr wscale:10,10 rto:204 bytes_sent:2170 bytes_acked:2170 bytes_received:270 segs_out:12 segs_in:18 data_segs_out:10 data_segs_in:10 lastsnd:2424 lastrcv:2424 lastack:2380 minrtt:0.01
`

const socket = (fields: Partial<Parameters<typeof isBusy>[0]>) => ({
  peer: '10.0.0.9:4000',
  ...{ bytesSent: 500, bytesReceived: 100, lastSent: 5_000, lastReceived: 5_000 },
  ...{ lastAcknowledged: 5_000, bareAcknowledgements: 1 },
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
    lastAcknowledged: 604,
    bareAcknowledgements: 1,
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

test('of a kept-alive connection that sent and received in the same tick, a later acknowledgement or none of its own tells that it has answered', () => {
  const sockets = parseSocketTable(TIES)
  expect(sockets.map(isBusy)).toEqual([true, true, false, false])
  expect(sockets.map(isIdle)).toEqual([false, false, true, true])
  // Old kernels do not count segments: without a later acknowledgement it may be at work.
  const old = parseSocketTable(TIES.replaceAll(/ (data_)?segs_(in|out):\d+/g, ''))
  expect(old.map(isBusy)).toEqual([true, true, true, false])
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
