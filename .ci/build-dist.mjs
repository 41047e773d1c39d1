// Bundles every src/actions/<name>/index.ts into dist/<name>/index.js; what it imports by `import()` only when needed
// becomes a chunk beside it, <number>.index.js. The output is reproducible, so that CI can rebuild it and compare. Types
// are checked by `npm run check`, not here.
import { readdirSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'

const root = join(import.meta.dirname, '..')
// The bundler numbers modules and chunks by their paths from the working folder.
process.chdir(root)
const ncc = createRequire(import.meta.url)('@vercel/ncc')
const only = process.argv.slice(2)
const names = readdirSync(join(root, 'src', 'actions'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && (only.length === 0 || only.includes(entry.name)))
  .map((entry) => entry.name)

// What packages load at the start for features that nothing here uses; it would double the time that a bundle takes to
// start. Something that is there anyway stands in for each.
const unused = {
  // The tokens for cloud logins in @actions/core, which need an HTTP client.
  './oidc-utils.js': 'node:path',
  // What the machine is, in @actions/core, which is found out by running commands.
  './platform.js': 'node:path',
  // HTTP agents over SSH in ssh2, which need Node's own HTTP client; its server; its making of keys; its own SFTP.
  './http-agents.js': 'node:path',
  './server.js': 'node:path',
  './keygen.js': 'node:path',
  './protocol/SFTP.js': 'node:path',
  // Name lookups of ssh2: it gets sockets that are connected. (What looks names up here asks for `node:dns`.)
  dns: 'node:path',
  // For whole folders fetched by node-ssh; brings semver along.
  'make-dir': 'node:path',
}

// What begins a package in a list of licenses: its name, and the license's on the next line.
const nextPackage = /\n\n+(?=(?:@[\w.-]+\/)?[\w.-]+\n(?:\S+|\(.+\))\n)/

/** One list of licenses for a bundle and its chunks, each package once: the bundler makes a list for every file. */
function joinLicenses(assets) {
  const lists = Object.keys(assets).filter((file) => file.endsWith('.licenses.txt'))
  const packages = lists.flatMap((file) => assets[file].source.toString().trim().split(nextPackage))
  return `${[...new Set(packages)].sort().join('\n\n')}\n`
}

for (const name of names) {
  const output = join(root, 'dist', name)
  rmSync(output, { recursive: true, force: true })
  const bundled = ncc(join(root, 'src', 'actions', name, 'index.ts'), {
    cache: false,
    license: '[name].licenses.txt',
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
  // Anything else that ncc emits is a native or Windows helper of ssh2 (pagent.exe) that no Linux runner can use.
  const chunks = Object.keys(assets).filter((file) => /^\d+\.index\.js$/.test(file))
  const files = [['index.js', code], ...chunks.map((file) => [file, assets[file].source])]
  for (const [file, source] of files) {
    await writeFile(join(output, file), source)
    console.log(`dist/${name}/${file} ${(source.length / 1e6).toFixed(2)} MB`)
  }
  await writeFile(join(output, 'licenses.txt'), joinLicenses(assets))
}
