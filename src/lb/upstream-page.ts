/** The servers of one upstream on a status page: whether each is down, by `<ip>:<port>`. */
export type PagePeers = ReadonlyMap<string, { readonly down: boolean }>

/**
 * Reads the text of nginx-upsync's `upstream_show`, which may show several upstreams. Returns a string that says what
 * is wrong when it is anything else: an unknown name is answered with status 200 and a sentence.
 */
export function parseUpstreamPage(text: string): ReadonlyMap<string, PagePeers> | string {
  const upstreams = new Map<string, Map<string, { down: boolean }>>()
  const counts = new Map<string, number>()
  let current: Map<string, { down: boolean }> | undefined
  for (const line of text.split(/\r?\n/).filter((one) => one.trim() !== '')) {
    const header = /^Upstream name: (\S+); Backend server count: (\d+)\s*$/.exec(line)
    if (header?.[1] !== undefined) {
      if (upstreams.has(header[1])) return `shows the upstream ${header[1]} twice`
      current = new Map()
      upstreams.set(header[1], current)
      counts.set(header[1], Number(header[2]))
      continue
    }
    const server = /^\s+server (\S+?)((?: [^;\s]+)*);\s*$/.exec(line)
    if (current === undefined || server?.[1] === undefined) {
      return `is not an upstream_show page: '${line.trim().slice(0, 100)}'`
    }
    if (current.has(server[1])) return `shows ${server[1]} twice`
    current.set(server[1], { down: (server[2] ?? '').split(' ').includes('down') })
  }
  if (upstreams.size === 0) return 'is empty'
  for (const [name, peers] of upstreams) {
    if (peers.size !== counts.get(name)) return `does not show all servers of ${name}`
  }
  return upstreams
}

/** The upstream that is meant: the only one on the page, or the one that is named as the path in Consul ends. */
export function peersOf(page: ReadonlyMap<string, PagePeers>, upstream: string): PagePeers | string {
  const named = page.get(upstream.split('/').at(-1) ?? upstream)
  const only = page.size === 1 ? [...page.values()][0] : undefined
  return (
    named ??
    only ??
    `shows the upstreams ${[...page.keys()].join(', ')}: add ?<name> to the URL to say which is meant`
  )
}
