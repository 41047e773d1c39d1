// A flip that is cancelled at each of its steps: its last step says where each name stands, or brings it back.
import { describe, expect, test } from 'vitest'
import { expectSuccess } from '../harness/input-cases.ts'
import { gatedDnsScene } from './dns-gated-scene.ts'
import { POINTS, type Point } from './dns-interruptions.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

const gated = gatedDnsScene({ lagging: true })
const { values, lagging } = gated

/** Runs to the point and cancels there; a write on its way comes to its end. */
async function cancelAt(point: Point, onFailure: 'revert' | 'stop') {
  const arrival = point.prepare(gated.api, lagging())
  try {
    return await gated.scene.flip(
      { 'api-url': gated.api.url, ...arrival.inputs, 'on-failure': onFailure },
      {
        during: async (run) => {
          await arrival.reached(run)
          void run.cancel()
          await run.waitForLog(/SIGINT: stopping/)
          arrival.release()
        },
      },
    )
  } finally {
    arrival.remove()
  }
}

describe.each(POINTS)('cancelled $name', (point) => {
  test('the names are back', async () => {
    const result = await cancelAt(point, 'revert')
    expect(result.conclusion).toBe('cancelled')
    expect(await values()).toEqual([OLD, OLD])
    for (const name of point.told)
      expect(result.log).toMatch(new RegExp(`${name} A (is back at|holds) the old value`))
    expect(result.orphans).toEqual([])
  })
})

// With `stop` nothing is reverted.
describe.each(
  POINTS.filter(({ name }) => !name.includes('revert')),
)('cancelled $name, on-failure: stop', (point) => {
  test('its last step says where each name stands, and the next run goes on from there', async () => {
    const result = await cancelAt(point, 'stop')
    expect(result.conclusion).toBe('cancelled')
    const [www, api_] = await values()
    const standing = (name: string, value = '') =>
      new RegExp(`${name} A holds the ${value === NEW ? 'new' : 'old'} value`)
    if (point.told.includes(`www.${ZONE}`)) expect(result.log).toMatch(standing(`www.${ZONE}`, www))
    if (point.told.includes(`api.${ZONE}`)) expect(result.log).toMatch(standing(`api.${ZONE}`, api_))
    expectSuccess(await gated.scene.flip())
    expect(await values()).toEqual([NEW, NEW])
  })
})
