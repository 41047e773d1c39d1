/** One connection to the node's port, as the node's kernel sees it. Times in ms since the event. */
export interface NodeSocket {
  /** `<ip>:<port>` of the other end: tells connections apart. */
  readonly peer: string
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly lastSent: number
  readonly lastReceived: number
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
    const field = (name: string) => Number(new RegExp(`(?:^|\\s)${name}:(\\d+)`).exec(line)?.[1] ?? 0)
    sockets.push({
      peer,
      // Kernels before 4.19 tell only what was acknowledged.
      bytesSent: field('bytes_sent') || field('bytes_acked'),
      bytesReceived: field('bytes_received'),
      lastSent: field('lastsnd'),
      lastReceived: field('lastrcv'),
    })
    peer = undefined
  }
  return sockets
}

/** Whether a request is being worked on. */
export function isBusy({ bytesSent, bytesReceived, lastSent, lastReceived }: NodeSocket): boolean {
  if (bytesReceived === 0) return false
  return bytesSent === 0 || lastReceived < lastSent
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
