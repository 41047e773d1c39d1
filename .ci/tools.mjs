// Runs a command with the project's own tools: `node .ci/tools.mjs vitest run`.
// A clean clone needs nothing but some Node and npm: the pinned packages are installed first (.npmrc
// turns their scripts off, so that no native addon is compiled into the bundles), among them a current Node as a plain binary.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import process from 'node:process'

const root = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..')
const stamp = join(root, 'node_modules', '.installed-from')
const wanted = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex')

const bundledNode = join(root, 'node_modules', `node24-linux-${process.arch}`, 'bin')

/** Runs `npm ci` by a Node of our choice: npm leaves out optional packages that do not fit the Node it runs on. */
function install(node, ...options) {
  const npm = process.env.PATH.split(delimiter)
    .map((folder) => join(folder, 'npm'))
    .find((file) => existsSync(file))
  const { status } = spawnSync(node, [realpathSync(npm ?? 'npm'), 'ci', '--loglevel=error', ...options], {
    cwd: root,
    stdio: 'inherit',
  })
  if (status !== 0) {
    console.error(
      'npm ci failed (its messages are above): the project cannot be built or tested without its packages.',
    )
    process.exit(1)
  }
}

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  console.log('Installing the pinned packages (npm ci) ...')
  const [major] = process.versions.node.split('.').map(Number)
  if (major < 24) {
    install(process.execPath, '--omit=dev')
    // Copied, since npm replaces all of node_modules while it runs.
    const folder = mkdtempSync(join(tmpdir(), 'evenkeel-node-'))
    copyFileSync(join(bundledNode, 'node'), join(folder, 'node'))
    install(join(folder, 'node'))
    rmSync(folder, { recursive: true })
  } else {
    install(process.execPath)
  }
  // Two packages bring a `node`; the one that scripts of package.json find must be the current one.
  if (existsSync(bundledNode)) {
    const link = join(root, 'node_modules', '.bin', 'node')
    rmSync(link, { force: true })
    symlinkSync(join(bundledNode, 'node'), link)
  }
  writeFileSync(stamp, wanted)
}

const path = [join(root, 'node_modules', '.bin'), process.env.PATH]
if (existsSync(bundledNode)) path.unshift(bundledNode)

const [command, ...args] = process.argv.slice(2)
const child = spawn(command, args, {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, PATH: path.join(delimiter) },
})
// A Ctrl-C reaches the child too (same terminal): stay until it has cleaned up.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal))
child.on('error', (error) => {
  console.error(`Cannot run ${command}: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code))
