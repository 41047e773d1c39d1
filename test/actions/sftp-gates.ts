// An sshd that gives SFTP alone, through a filter that stops at a chosen request, so that a test can break off there.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { findProgram } from '../bed/packages.ts'
import { until } from '../bed/process.ts'
import { type Sshd, startSshd } from '../bed/sshd.ts'

/** Requests by their type and by what their text ends in; `answered` holds back the answer instead. */
const GATES = {
  claim: { type: 14, text: /staging\/[^/]+$/ },
  links: { type: 200, text: /^hardlink/ },
  'first file': { type: 3, text: /\/tree\/./ },
  // A file's mode and time are set last of all; a close can be a folder's, too.
  'middle of the files': { type: 10, text: /^/, count: 25 },
  'before it is a release': { type: 200, text: /^posix-rename.*\/releases\/new$/s },
  'before the swap': { type: 200, text: /^posix-rename.*\/current$/s },
  'after the swap': { type: 200, text: /^posix-rename.*\/current$/s, answered: true },
  'before it is confirmed': { type: 200, text: /^posix-rename.*\/good$/s },
  prune: { type: 200, text: /^posix-rename.*\/releases\/oldest/s },
  'before the first file takes its place': { type: 200, text: /^posix-rename.*next\/tree/s },
  'between assets and pages': { type: 200, text: /^posix-rename.*next\/tree\/.*\.html?$/s },
  'before it is next': { type: 200, text: /^posix-rename.*staging.*\/next$/s },
  'before the list is replaced': { type: 200, text: /^posix-rename.*\/site$/s },
  // Deleted is what is put away.
  deletions: { type: 200, text: /^posix-rename[^\n]*\n(?![^\n]*\/\.evenkeel\/)[^\n]*gone\.js\n/ },
} as const satisfies Record<string, { type: number; text: RegExp; count?: number; answered?: boolean }>

export type SftpGate = keyof typeof GATES

/** Holds one session; those that come later pass. */
const FILTER = String.raw`
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
const { gates, folder, server } = SETTINGS
// A subsystem has its own program here; anything else is a command.
if (process.env.SSH_ORIGINAL_COMMAND !== server) {
  console.error('This service allows sftp connections only.')
  process.exit(1)
}
const child = spawn(server, [], { stdio: ['pipe', 'pipe', 'inherit'] })
child.on('exit', (code) => process.exit(code ?? 1))
const counts = {}
let rest = Buffer.alloc(0)
let mayAnswer = Promise.resolve()
let answers = Buffer.alloc(0)
let unanswered = 0
child.stdout.on('data', (chunk) => {
  mayAnswer = mayAnswer.then(() => process.stdout.write(chunk))
  answers = Buffer.concat([answers, chunk])
  for (; answers.length >= 4 && answers.length >= 4 + answers.readUInt32BE(0); unanswered--) {
    answers = answers.subarray(4 + answers.readUInt32BE(0))
  }
})
const pause = () => new Promise((resolve) => setTimeout(resolve, 10))
// What came before has been done when the gate counts as reached.
const held = async (gate) => {
  while (unanswered > 0) await pause()
  mkdirSync(gate + '.reached')
  while (existsSync(gate)) await pause()
}
function matching(packet) {
  const type = packet[4]
  // Strings with their lengths, read as one text without those.
  let text = ''
  for (let at = 9; at + 4 <= packet.length && type !== 4; ) {
    const length = packet.readUInt32BE(at)
    if (at + 4 + length > packet.length) break
    text += packet.toString('latin1', at + 4, at + 4 + length) + (type === 200 ? '\n' : '')
    at += 4 + length
    if (type === 3 || type === 13 || type === 14) break
  }
  text = text.replace(/\n$/, '')
  for (const [name, gate] of Object.entries(gates)) {
    if (gate.type !== type || !new RegExp(gate.source, gate.flags).test(text)) continue
    counts[name] = (counts[name] ?? 0) + 1
    if (counts[name] < (gate.count ?? 1)) continue
    const file = folder + '/' + name
    if (!existsSync(file)) continue
    try { mkdirSync(file + '.taken') } catch { continue }
    return { file, answered: gate.answered }
  }
}
for await (const chunk of process.stdin) {
  rest = Buffer.concat([rest, chunk])
  while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
    const packet = rest.subarray(0, 4 + rest.readUInt32BE(0))
    rest = rest.subarray(packet.length)
    const gate = matching(packet)
    if (gate !== undefined && !gate.answered) await held(gate.file)
    unanswered++
    if (gate?.answered) mayAnswer = mayAnswer.then(() => held(gate.file))
    child.stdin.write(packet)
  }
}
child.stdin.end()
`

export async function startGatedSftp() {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-sftp-gates-'))
  const server = findProgram('sftp-server').path
  const gates = Object.fromEntries(
    Object.entries(GATES).map(([name, { text, ...gate }]) => [
      name,
      { ...gate, source: text.source, flags: text.flags },
    ]),
  )
  const filter = join(folder, 'filter.mjs')
  writeFileSync(filter, FILTER.replace('SETTINGS', JSON.stringify({ gates, folder, server })))
  const sshd: Sshd = await startSshd({ config: [`ForceCommand exec '${process.execPath}' ${filter}`] })
  const file = (gate: SftpGate) => join(folder, gate)
  return {
    sshd,
    close: (gate: SftpGate) => writeFileSync(file(gate), ''),
    reached: (gate: SftpGate) =>
      until(`${gate} is reached`, () => existsSync(`${file(gate)}.reached`), 20_000),
    open: (gate: SftpGate) => {
      rmSync(file(gate), { force: true })
      for (const mark of ['taken', 'reached'])
        rmSync(`${file(gate)}.${mark}`, { recursive: true, force: true })
    },
    stop: async () => {
      await sshd.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
