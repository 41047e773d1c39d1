// Bundles every src/actions/<name>/index.ts into dist/<name>/index.js. The output is reproducible, so that CI can
// rebuild it and compare. Types are checked by `npm run check`, not here.
import { readdirSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'

const root = join(import.meta.dirname, '..')
const ncc = createRequire(import.meta.url)('@vercel/ncc')
const only = process.argv.slice(2)
const names = readdirSync(join(root, 'src', 'actions'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && (only.length === 0 || only.includes(entry.name)))
  .map((entry) => entry.name)

// In @actions/core, only the tokens for cloud logins need an HTTP client, and nothing here asks for one: loading it would
// double the time that a bundle takes to start. Something that is there anyway stands in for it.
const unused = { './oidc-utils.js': 'node:http' }

for (const name of names) {
  const output = join(root, 'dist', name)
  rmSync(output, { recursive: true, force: true })
  const bundled = ncc(join(root, 'src', 'actions', name, 'index.ts'), {
    cache: false,
    license: 'licenses.txt',
    quiet: true,
    transpileOnly: true,
    externals: unused,
  })
  // Uncaught, Node would print the bundler's own minified source before the message.
  const { code, assets } = await bundled.catch((error) => {
    console.error(`${name}: ${error.message}`)
    process.exit(1)
  })
  await mkdir(output, { recursive: true })
  await writeFile(join(output, 'index.js'), code)
  await writeFile(join(output, 'licenses.txt'), assets['licenses.txt'].source)
  // Anything else that ncc emits is a native or Windows helper of ssh2 (pagent.exe) that no Linux runner can use.
  console.log(`dist/${name}/index.js ${(code.length / 1e6).toFixed(2)} MB`)
}
