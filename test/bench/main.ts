// `npm run bench`: all figures; `npm run bench -- upload git`: those named.
import process from 'node:process'

const benchmarks: Readonly<Record<string, () => Promise<unknown>>> = {
  bundles: () => import('./bundles.ts'),
  upload: () => import('./upload.ts'),
  git: () => import('./git.ts'),
  rollout: () => import('./rollout.ts'),
  dns: () => import('./dns.ts'),
}

const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const unknown = names.filter((name) => !Object.hasOwn(benchmarks, name))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}; there are ${Object.keys(benchmarks).join(', ')}`)
  process.exit(1)
}
for (const name of names.length > 0 ? names : Object.keys(benchmarks)) await benchmarks[name]?.()
