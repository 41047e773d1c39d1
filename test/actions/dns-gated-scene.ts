// A zone whose API stands behind a gate: what the suites share that break a flip off or spoil what it is told.
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { type PowerDns, startPowerDns } from '../bed/powerdns.ts'
import { type ApiGate, startApiGate } from './dns-api-gate.ts'
import { type DnsScene, OLD, startDnsScene, ZONE } from './dns-scene.ts'

export interface GatedDnsScene {
  readonly scene: DnsScene
  readonly api: ApiGate
  /** The values of www and api. */
  values(): Promise<(string | undefined)[]>
  /** For `nameservers`: the zone's own, and one that never follows. */
  lagging(): string
}

/** Starts one for the suite, and has it as new before each test. */
export function gatedDnsScene({ lagging = false } = {}): GatedDnsScene {
  let scene: DnsScene
  let api: ApiGate
  let behind: PowerDns | undefined
  beforeAll(async () => {
    scene = await startDnsScene()
    api = await startApiGate(scene.dns.apiUrl)
    if (!lagging) return
    const sets = ['www', 'api'].map((name) => ({ name, type: 'A', ttl: 5, values: [OLD] }))
    behind = await startPowerDns({ zones: { [ZONE]: sets } })
  })
  beforeEach(async () => {
    api.reset()
    await scene.reset()
  })
  afterAll(async () => {
    api?.stop()
    await behind?.stop()
    await scene?.stop()
  })
  return {
    get scene() {
      return scene
    },
    get api() {
      return api
    },
    values: async () => [(await scene.values('www'))?.join(), (await scene.values('api'))?.join()],
    lagging: () => `${scene.inputs['nameservers']}\n${behind?.address}:${behind?.port}`,
  }
}
