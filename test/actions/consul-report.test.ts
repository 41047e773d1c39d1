// What is told about a rollout.
import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { runAction } from '../harness/action-run.ts'
import { errorsOf, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { bedForTest } from './consul-bed.ts'

const action = 'consul-restart'

test('nodes can be told apart where their addresses are secrets, and several releases are listed', {
  timeout: 240_000,
}, async () => {
  const { apps, quietInputs: inputs } = await bedForTest({ nodes: 2 })
  const [first, second] = apps as [(typeof apps)[0], (typeof apps)[0]]
  expectSuccess(await runAction({ action, inputs: { ...inputs, release: 'v1' }, deadline: 100_000 }))
  second.setBroken(true)
  const result = await runAction({
    action,
    inputs: { ...inputs, 'health-timeout': '2s', 'health-interval': '100ms' },
    secrets: { FIRST: first.address, SECOND: second.address },
    deadline: 100_000,
  })
  expectFailure(result, /2\/2 \*\*\*: not healthy after/, /out: 2\/2 \*\*\* \(/)
  expect(errorsOf(result) + result.log + result.summary).not.toContain(first.address)
  expect(result.log).toMatch(/^1\/2 \*\*\* \| drained in Consul$/m)
  expect(result.log).toMatch(/^1 of 2 nodes done; 2\/2 \*\*\*: waiting for it to be healthy$/m)
  expect(result.summary).toMatch(/\| 1 \| \*\*\* \| updated \|/)
  expect(result.summary).toMatch(/\| 2 \| \*\*\* \| failed, OUT \|/)
  expect(result.summary).toMatch(/Several releases are on the nodes: v\d on \*\*\*; v\d on \*\*\*/)

  second.setBroken(false)
  execFileSync('sh', ['-c', second.commands.start], { stdio: 'ignore' })
  const again = await runAction({
    action,
    inputs,
    secrets: { FIRST: first.address, SECOND: second.address },
    deadline: 100_000,
  })
  expectSuccess(again)
  expect(again.log).toMatch(/^left out 1\/1 \*\*\* \| taken over: /m)
})
