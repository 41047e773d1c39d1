import { type Context, prefixedLog } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Credentials } from '../ssh/connect.ts'
import type { Connection } from '../ssh/connection.ts'
import { Reconnecting } from '../ssh/reconnecting.ts'
import type { Target } from '../ssh/target.ts'

/** How many servers are dialled at a time; sshd begins to refuse at ten (MaxStartups) where they are one machine. */
const DIAL_AT_A_TIME = 8

/** The SSH connections of a rollout: one for each node, opened when first asked for and again when it has broken. */
export class NodeConnections {
  readonly #targets: ReadonlyMap<string, Target>
  readonly #credentials: Credentials
  readonly #context: Context
  readonly #open = new Map<string, Promise<Reconnecting>>()
  readonly #all = new Set<Reconnecting>()

  constructor(targets: ReadonlyMap<string, Target>, credentials: Credentials, context: Context) {
    this.#targets = targets
    this.#credentials = credentials
    this.#context = context
  }

  has(address: string): boolean {
    return this.#targets.has(address)
  }

  async get(address: string): Promise<Connection> {
    return (await this.server(address)).connection
  }

  /** The node's server, connected to at this moment; it can connect again by itself. */
  server(address: string): Promise<Reconnecting> {
    const known = this.#open.get(address)
    if (known) return known
    const target = this.#targets.get(address)
    if (target === undefined) throw new Failure(`there is no SSH target for the node ${address}`)
    const log = prefixedLog(this.#context.log, address)
    const opening = Reconnecting.open(target, this.#credentials, { ...this.#context, log })
    const forget = () => {
      if (this.#open.get(address) === opening) this.#open.delete(address)
    }
    opening.then((server) => {
      this.#all.add(server)
      server.connection.onClose(forget)
    }, forget)
    this.#open.set(address, opening)
    return opening
  }

  /** Logs in to every node before anything is changed. */
  async preflight(addresses: readonly string[]): Promise<void> {
    const queue = [...addresses]
    const dial = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await this.server(next)
    }
    const results = await Promise.allSettled(Array.from({ length: DIAL_AT_A_TIME }, dial))
    const failed = results.filter((result) => result.status === 'rejected')
    if (failed.length === 1) throw failed[0]?.reason
    if (failed.length > 1) {
      const texts = failed.map(({ reason }) =>
        reason instanceof Failure ? reason.describe() : String(reason),
      )
      throw new Failure('some nodes cannot be logged in to', {
        seen: texts.map((text) => `\n${text}`).join(''),
        state: 'nothing was changed.',
        hint: 'see what each of them says above',
      })
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#open.values())
    for (const server of this.#all) server.close()
  }
}
