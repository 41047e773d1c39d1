import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DnsScene, OLD, startDnsScene } from './dns-scene.ts'
import { startHeldApi } from './held-api.ts'

let scene: DnsScene
beforeAll(async () => {
  scene = await startDnsScene()
})
afterAll(() => scene?.stop())

test('a cancel while a write is on its way: it comes to its end, and is brought back', async () => {
  const api = await startHeldApi(scene, 1)
  try {
    const result = await scene.flip(
      { 'api-url': api.url },
      {
        during: async (run) => {
          await api.arrived
          void run.cancel()
          await run.waitForLog(/SIGINT: stopping/)
          api.release()
        },
      },
    )
    expect(result.conclusion).toBe('cancelled')
    expect(await scene.values('www')).toEqual([OLD])
    expect(result.log).toContain('www.example.test A: back to 127.0.0.1')
  } finally {
    api.stop()
  }
})
