// `npm run soak`: 100 rollouts under load (`npm run soak -- 20`: so many), and ten rounds of restarts without a drain.
import process from 'node:process'
import { soak } from './rollouts.ts'

const rollouts = Number(process.argv[2] ?? 100)
if (!Number.isInteger(rollouts) || rollouts < 1)
  throw new Error(`not a number of rollouts: ${process.argv[2]}`)
const result = await soak({ rollouts, controls: 10 }, (line) => console.log(line))
console.log(result)
const good = result.failed === 0 && result.control.every((failed) => failed > 0)
console.log(good ? 'as it should be' : 'NOT as it should be')
process.exit(good ? 0 : 1)
