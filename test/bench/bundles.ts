// How long each bundle takes to load, beside a bare Node, on both Nodes; and how large it is.
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const RUNS = 15

/** Median wall time of a whole process in ms, after one warm-up. */
function median(node: string, args: string[]): number {
  const times = Array.from({ length: RUNS + 1 }, () => {
    const begun = performance.now()
    const { status } = spawnSync(node, args, { env: {}, stdio: 'ignore' })
    if (status !== 0) throw new Error(`${node} ${args.join(' ')} ended with ${status}`)
    return performance.now() - begun
  })
  return times.slice(1).sort((a, b) => a - b)[Math.floor(RUNS / 2)] ?? Number.NaN
}

function megabytes(files: readonly string[]): number {
  return Number((files.reduce((sum, file) => sum + statSync(file).size, 0) / 1e6).toFixed(2))
}

const rows = readdirSync(join(root, 'dist')).flatMap((bundle) =>
  ['20', '24'].map((version) => {
    const node = join(root, `node_modules/node${version}-linux-${process.arch}/bin/node`)
    const folder = join(root, 'dist', bundle)
    const file = join(folder, 'index.js')
    const chunks = readdirSync(folder).filter((name) => name.endsWith('.index.js'))
    const bare = median(node, ['-e', ''])
    // A settle step with nothing to settle loads all but the chunks and ends.
    const loaded = median(node, [file, 'settle'])
    return {
      bundle,
      node: version,
      'size (MB)': megabytes([file]),
      'in chunks (MB)': megabytes(chunks.map((name) => join(folder, name))),
      'bare node (ms)': Math.round(bare),
      'with bundle (ms)': Math.round(loaded),
      ratio: Number((loaded / bare).toFixed(2)),
    }
  }),
)
console.table(rows)
