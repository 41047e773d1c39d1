import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection } from '../ssh/connection.ts'
import { isBusy, isIdle, type NodeSocket, newRequests, parseSocketTable } from './socket-table.ts'

/** What became of the requests that were under way when the node went out. */
export interface Quiet {
  /** Requests still at work when the time was over; undefined where the node's sockets cannot be seen. */
  readonly left: number | undefined
  readonly durationMs: number
}

const PAUSE_MS = 200

const TABLE = `PATH="$PATH:/usr/sbin:/sbin"
table() { ss -Htin state established "sport = :$EVENKEEL_PORT"; }`
const LOOK_ONCE = 'table'
/** A short request on a connection of its own is there for a millisecond: looks one after the other for 1 to 2 s. */
const LOOK_OFTEN = `looks=0 end=$(($(date +%s) + 2))
while [ $looks -lt 150 ] && [ "$(date +%s)" -lt $end ]; do
  seen=$(table)
  case $seen in *bytes_received:*) break ;; esac
  looks=$((looks + 1))
done
printf '%s\\n' "$seen"`

/** The connections to one port of a node, from the node's own kernel. */
export class SocketWatch {
  readonly #connect: (() => Promise<Connection>) | undefined
  readonly #address: { readonly ip: string; readonly port: number }
  #baseline: readonly NodeSocket[] | undefined
  /** The addresses that have sent requests before the drain. */
  readonly #seen = new Set<string>()

  /** `connect` gives the node's connection, a new one where it has broken; left out where there is no login. */
  constructor(connect: (() => Promise<Connection>) | undefined, address: { ip: string; port: number }) {
    this.#connect = connect
    this.#address = address
  }

  /** Whether the table has shown traffic to this port: in a network namespace of its own it never does. */
  get observable(): boolean {
    return this.#seen.size > 0
  }

  /** Looks, before the drain, whether the table shows this port's connections at all. */
  async firstLook({ signal }: Context): Promise<void> {
    const table = await this.#read(LOOK_OFTEN, signal)
    for (const { peer, bytesReceived } of table ?? []) if (bytesReceived > 0) this.#seen.add(hostOf(peer))
  }

  /**
   * What speaks against the node being out: requests that began since the last time it was asked. Where the load
   * balancers are known to be among those who send requests, only theirs count: monitoring goes on asking.
   */
  async objection(loadBalancers: ReadonlySet<string>, signal: AbortSignal): Promise<string | undefined> {
    if (!this.observable) return undefined
    const table = await this.#mustRead(signal)
    const begun = newRequests(this.#baseline ?? table, table).map(({ peer }) => hostOf(peer))
    this.#baseline = table
    const known = [...this.#seen].some((peer) => loadBalancers.has(peer))
    const counted = known ? begun.filter((peer) => loadBalancers.has(peer)) : begun
    if (counted.length === 0) return undefined
    const { ip, port } = this.#address
    return `${ip}:${port} still gets requests, ${counted.length} just now, from ${[...new Set(counted)].join(', ')}`
  }

  /** Waits until no request is at work, `capMs` at most. Unobservable: waits all of it. */
  async untilQuiet(capMs: number, { clock, signal }: Context): Promise<Quiet> {
    const start = clock.monotonic()
    if (!this.observable) {
      await clock.sleep(capMs, signal)
      return { left: undefined, durationMs: clock.monotonic() - start }
    }
    for (;;) {
      const table = await this.#mustRead(signal)
      const durationMs = clock.monotonic() - start
      if (table.every(isIdle)) return { left: 0, durationMs }
      if (durationMs >= capMs) return { left: table.filter(isBusy).length, durationMs }
      await clock.sleep(Math.min(PAUSE_MS, capMs - durationMs), signal)
    }
  }

  async #mustRead(signal: AbortSignal): Promise<NodeSocket[]> {
    const table = await this.#read(LOOK_ONCE, signal)
    if (table !== undefined) return table
    const { ip, port } = this.#address
    throw new Failure(`the socket table of ${ip}:${port} cannot be read any more`)
  }

  /** Undefined where it cannot be read: no login to this node, or no `ss` on it. */
  async #read(script: string, signal: AbortSignal): Promise<NodeSocket[] | undefined> {
    if (this.#connect === undefined) return undefined
    const options = {
      env: { EVENKEEL_PORT: String(this.#address.port) },
      signal,
      keepBytes: 64 * 1024 * 1024,
    }
    const connection = await this.#connect()
    const look = (from: Connection) => from.script(`${TABLE}\n${script}`, options)
    const connect = this.#connect
    const { code, stdout } = await look(connection).catch(async (error: unknown) => {
      if (signal.aborted || connection.isOpen) throw error
      return look(await connect())
    })
    return code === 0 ? parseSocketTable(stdout) : undefined
  }
}

/** The address without its port; IPv4 in IPv6's clothes is shown as IPv4. */
function hostOf(peer: string): string {
  return peer.replace(/:\d+$/, '').replace(/^\[(?:::ffff:)?(.*)\]$/, '$1')
}
