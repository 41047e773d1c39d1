/** One connection to the node's port, as the node's kernel sees it. Times in ms since the event. */
export interface NodeSocket {
  /** `<ip>:<port>` of the other end: tells connections apart. */
  readonly peer: string
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly lastSent: number
  readonly lastReceived: number
  /** Since the last acknowledgement of the other end's. */
  readonly lastAcknowledged: number
  /** Segments sent that did nothing but acknowledge. Undefined: the kernel (before 4.6) does not tell. */
  readonly bareAcknowledgements: number | undefined
}

/** A connection counts as idle only after so long without traffic. */
const IDLE_AFTER_MS = 1_000

/**
 * Parses `ss -Htin state established`: for each connection a line with its addresses and an indented one with what the
 * kernel knows about it. Lines that are anything else are passed over.
 */
export function parseSocketTable(text: string): NodeSocket[] {
  const sockets: NodeSocket[] = []
  let peer: string | undefined
  for (const line of text.split('\n')) {
    if (!/^\s/.test(line)) {
      peer = line.trim().split(/\s+/)[3]
      continue
    }
    if (peer === undefined) continue
    const told = (name: string) => new RegExp(`(?:^|\\s)${name}:(\\d+)`).exec(line)?.[1]
    const field = (name: string) => Number(told(name) ?? 0)
    sockets.push({
      peer,
      // Kernels before 4.19 tell only what was acknowledged.
      bytesSent: field('bytes_sent') || field('bytes_acked'),
      bytesReceived: field('bytes_received'),
      lastSent: field('lastsnd'),
      lastReceived: field('lastrcv'),
      lastAcknowledged: field('lastack'),
      // What is 0 is left out.
      bareAcknowledgements:
        told('data_segs_in') === undefined ? undefined : field('segs_out') - field('data_segs_out'),
    })
    peer = undefined
  }
  return sockets
}

/** Whether a request is being worked on; true also where that cannot be told. */
export function isBusy(socket: NodeSocket): boolean {
  const { bytesSent, bytesReceived, lastSent, lastReceived } = socket
  if (bytesReceived === 0) return false
  if (bytesSent === 0) return true
  return lastReceived === lastSent ? !isAnswered(socket) : lastReceived < lastSent
}

/**
 * For a connection that has sent and received last in the same tick of the kernel's clock (up to 10 ms): whether it
 * received first. Then the other end has acknowledged the answer later, or what came was acknowledged by the answer
 * itself; the kernel acknowledges a request that has no answer after 200 ms at most. It acknowledges the first one of
 * a connection alone in any case. (Measured on Linux 6: busy ones have two at least, idle ones of quick nodes one.)
 */
function isAnswered({ lastAcknowledged, lastReceived, bareAcknowledgements }: NodeSocket): boolean {
  return lastAcknowledged < lastReceived || (bareAcknowledgements !== undefined && bareAcknowledgements <= 1)
}

/** Neither at work nor just done with it. */
export function isIdle(socket: NodeSocket): boolean {
  if (isBusy(socket)) return false
  return socket.bytesReceived === 0 || Math.min(socket.lastSent, socket.lastReceived) >= IDLE_AFTER_MS
}

/**
 * Connections on which a request has begun since the earlier table: new ones that have received something, and those
 * that were idle and have received more. One that was at work all the time is an old request.
 */
export function newRequests(before: readonly NodeSocket[], after: readonly NodeSocket[]): NodeSocket[] {
  const known = new Map(before.map((socket) => [socket.peer, socket]))
  return after.filter((socket) => {
    const earlier = known.get(socket.peer)
    if (earlier === undefined || earlier.bytesReceived > socket.bytesReceived) return socket.bytesReceived > 0
    return !isBusy(earlier) && socket.bytesReceived > earlier.bytesReceived
  })
}
