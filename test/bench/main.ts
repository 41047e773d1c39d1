// Figures: `npm run bench` takes all benchmarks, `npm run bench -- rollout` the ones named.
import process from 'node:process'

const benchmarks: Record<string, () => Promise<unknown>> = {
  bundles: () => import('./bundles.ts'),
  rollout: () => import('./rollout.ts'),
}

const names = process.argv.slice(2)
const unknown = names.filter((name) => !Object.hasOwn(benchmarks, name))
if (unknown.length > 0) {
  console.error(`no such benchmark: ${unknown.join(', ')} (there are ${Object.keys(benchmarks).join(', ')})`)
  process.exit(1)
}
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) await benchmarks[name]?.()
