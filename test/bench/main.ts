// npm run bench [-- name ...]: runs the named files of this folder, by default all of them.
import { readdirSync } from 'node:fs'
import { basename } from 'node:path'

const known = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && !['main.ts', 'delaying-proxy.ts'].includes(file))
  .map((file) => basename(file, '.ts'))
const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !known.includes(name))
if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(', ')}; there are ${known.join(', ')}`)
for (const name of asked.length > 0 ? asked : known) await import(`./${name}.ts`)
