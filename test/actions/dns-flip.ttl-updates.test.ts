// TTLs by dynamic updates: a change of nothing but the TTL is one that servers may take in different ways.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../bed/process.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { startReader } from './dns-reader.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'
import { SERVERS, startUpdateScene, type UpdateScene } from './rfc2136-scene.ts'

describe.each(SERVERS)('%s', (name) => {
  let scene: UpdateScene
  beforeAll(async () => {
    scene = await startUpdateScene(name)
    for (const own of ['www', 'api']) await scene.replace({ name: own, type: 'A', ttl: 2, values: [OLD] })
  })
  afterAll(() => scene?.stop())

  const sets = () => Promise.all(['www', 'api'].map((own) => scene.server.query(`${own}.${ZONE}`)))
  const both = (address: string, ttl: number) => [[{ address, ttl }], [{ address, ttl }]]

  test('TTLs go down, names flip, TTLs come back, and no reader ever sees them gone', async () => {
    const reader = startReader(scene.server, [`www.${ZONE}`, `api.${ZONE}`])
    const lowered = await scene.flip({ phase: 'prepare', ttl: '1' })
    expectSuccess(lowered)
    const { outputs } = lowered
    expect(await sets()).toEqual(both(OLD, 1))
    const safeFrom = Date.parse(outputs['safe-from'] ?? '')
    await until('the time from which a flip is safe', () => Date.now() >= safeFrom)
    expectSuccess(await scene.flip({ prepared: outputs['snapshot'] ?? '' }))
    expect(await sets()).toEqual(both(NEW, 2))
    const seen = await reader.stop()
    expect([...seen.kinds].sort()).toEqual([`NOERROR ${OLD}`, `NOERROR ${NEW}`])
  })
})
