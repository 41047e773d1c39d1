import { expect, test } from 'vitest'
import { soak } from './rollouts.ts'

test('two rollouts under load lose no request, restarts without a drain lose some', {
  timeout: 240_000,
}, async () => {
  const result = await soak({ rollouts: 2, controls: 1 }, () => {})
  expect(result.failed, JSON.stringify(result.byReason)).toBe(0)
  expect(result.perSecond).toBeGreaterThanOrEqual(500)
  expect(result.fewestPerDrain).toBeGreaterThanOrEqual(100)
  for (const failed of result.control) expect(failed).toBeGreaterThan(0)
})
