// Formatter, linter and types: everything that is wrong is shown, not only the first.
import { spawnSync } from 'node:child_process'
import process from 'node:process'

const checks = [
  ['biome', 'check', '--error-on-warnings'],
  ['tsc', '--noEmit'],
]
const failed = checks.filter(
  ([command, ...args]) => spawnSync(command, args, { stdio: 'inherit' }).status !== 0,
)
for (const check of failed) console.error(`failed: ${check.join(' ')}`)
process.exit(failed.length === 0 ? 0 : 1)
