// The kill matrix in its short form: each step once, the ways in turn. All of it: `npm run soak -- kills`.
import { expect, test } from 'vitest'
import { breakOff, POINTS, WAYS } from './consul-kills.ts'

// Of each write every other one gets to Consul.
const points = POINTS.filter(
  (point, index) => !('arrives' in point) || point.reverts || point.arrives === index % 4 > 1,
)
const scenes = points.map((point, index) => ({ point, way: WAYS[index % WAYS.length]! }))

test.concurrent.for(scenes)('$way $point.name', { timeout: 150_000 }, async ({ point, way }) => {
  expect(await breakOff(point, way, 100)).toBeGreaterThan(100)
})
