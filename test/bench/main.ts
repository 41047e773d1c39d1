// npm run bench [-- name ...]: all benchmarks, or those named.
import { argv } from 'node:process'

const benchmarks: Readonly<Record<string, () => Promise<unknown>>> = {
  bundles: () => import('./bundles.ts'),
  upload: () => import('./upload.ts'),
  soak: () => import('./soak.ts'),
}
const names = argv.slice(2).filter((argument) => !argument.startsWith('--'))
const unknown = names.filter((name) => benchmarks[name] === undefined)
if (unknown.length > 0) {
  throw new Error(`no benchmark '${unknown[0]}': there are ${Object.keys(benchmarks).join(', ')}`)
}
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) await benchmarks[name]?.()
