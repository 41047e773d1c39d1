// A server as far away as those of other continents.
import { onTestFinished } from 'vitest'
import { type Sshd, type SshdOptions, startSshd } from '../bed/sshd.ts'
import { startDelayingProxy } from '../bench/delaying-proxy.ts'
import { type Line, startLine } from './static-line.ts'
import { StaticSite } from './static-site.ts'

export interface FarSite {
  readonly site: StaticSite
  /** The server itself. */
  readonly server: Sshd
  /** The last part of the way to it. */
  readonly line: Line
  /** The way there. It leads through another server: what listens on this machine counts as near. */
  readonly way: Record<string, string>
}

/** A site on a server of this test alone, `oneWayMs` away. */
export async function farSite(oneWayMs: number, options: SshdOptions = {}): Promise<FarSite> {
  const server = await startSshd(options)
  const between = await startSshd()
  between.addClientKey(server.clientKey.publicKey)
  const proxy = await startDelayingProxy(between, oneWayMs)
  const line = await startLine(server)
  const site = new StaticSite(server)
  onTestFinished(async () => {
    proxy.stop()
    line.close()
    await Promise.all([server.stop(), between.stop()])
    site.remove()
  })
  const way = {
    ...line.inputs,
    jump: `${between.user}@127.0.0.1:${proxy.port}`,
    'known-hosts': [
      line.inputs['known-hosts'],
      `[127.0.0.1]:${proxy.port} ${between.hostKeys[0]?.publicKey}`,
    ].join('\n'),
  }
  return { site, server, line, way }
}
